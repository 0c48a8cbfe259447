// Curves under the timeline: a row for each kind of value of a side.

import type { Curve } from "./wire";

/** Distance of the first and the last moment from a chart's ends, in px: half a slider's thumb. */
export const INSET = 8;
const COLOURS = [
  "#7cc7ff", "#ffb86b", "#7ee0b0", "#ff8fa3", "#c9a6ff", "#ffe08a", "#8fd0c8", "#f0a6da", "#b7d37a", "#a3b8ff", "#e0c3a5",
];

/** The rows of one side that are known so far. */
export class Table {
  count = 0;
  width = 0;
  /** How often it has changed. */
  changes = 0;
  private values = new Float32Array(0);

  clear(): void {
    this.count = 0;
    this.changes++;
  }

  put(first: number, count: number, width: number, rows: Float32Array): void {
    this.changes++;
    this.width = width;
    this.count = first + count;
    if (this.values.length < this.count * width) {
      const more = new Float32Array(Math.max(2 * this.values.length, this.count * width));
      more.set(this.values);
      this.values = more;
    }
    this.values.set(rows, first * width);
  }

  /** A value; NaN where the row is not known, or there is none yet. */
  at(index: number, column: number): number {
    return index >= 0 && index < this.count ? this.values[index * this.width + column]! : NaN;
  }

  /** Some neighbouring columns of a row. */
  part(index: number, from: number, length: number): Float32Array {
    const begin = Math.max(0, Math.min(index, this.count - 1)) * this.width + from;
    return this.values.subarray(begin, begin + length);
  }
}

interface Chart {
  curve: Curve;
  /** Of its first line in a row. */
  column: number;
  canvas: HTMLCanvasElement;
  cursor: HTMLElement;
  range: HTMLElement;
  values: HTMLElement[];
}

const made = (kind: string, name: string, ...content: (string | Node)[]): HTMLElement => {
  const result = document.createElement(kind);
  result.className = name;
  result.append(...content);
  return result;
};

/** All charts of one side. */
export class Charts {
  /** An element for each curve. */
  readonly rows: HTMLElement[] = [];
  readonly table = new Table();
  private charts: Chart[] = [];
  private last = 1;
  private shown: [number, number][] = [];
  /** Of what the charts were drawn. */
  private drawn = "";

  /**
   * @param mark what its rows are called where there are several sides
   * @param onSeek called with a share of the timeline
   */
  constructor(
    curves: Curve[],
    private label: string,
    private mark: string,
    private onSeek: (share: number) => void,
  ) {
    let column = 0;
    for (const curve of curves) {
      this.charts.push(this.chart(curve, column));
      column += curve.names.length;
    }
    new ResizeObserver(() => this.draw(this.last)).observe(this.charts[0]!.canvas);
  }

  /** Where a group of values begins in a row, and how many there are. */
  columns(name: string): [number, number] {
    const chart = this.charts.find(({ curve }) => curve.name === name);
    return chart ? [chart.column, chart.curve.names.length] : [0, 0];
  }

  private chart(curve: Curve, column: number): Chart {
    const title = curve.unit === "1" ? curve.name : `${curve.name} [${curve.unit}]`;
    const range = made("span", "range");
    const head = made("button", "head", ...(this.mark ? [made("b", "mark", this.mark)] : []), made("span", "title", title), range);
    const legend = made("div", "legend");
    legend.hidden = true;
    head.setAttribute("aria-expanded", "false");
    head.title = "show what the lines are, and their values";
    head.addEventListener("click", () => {
      legend.hidden = !legend.hidden;
      head.setAttribute("aria-expanded", String(!legend.hidden));
    });
    const values = curve.names.map((name, line) => {
      const dot = document.createElement("i");
      dot.style.background = COLOURS[line % COLOURS.length]!;
      const value = document.createElement("b");
      legend.append(made("span", "", dot, name.replaceAll("_", " "), " ", value));
      return value;
    });
    const canvas = document.createElement("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${title} of ${this.label} over time`);
    const cursor = made("div", "cursor");
    const plot = made("div", "plot", canvas, cursor);
    const seek = (event: PointerEvent) => {
      const { left, width } = canvas.getBoundingClientRect();
      this.onSeek(Math.min(1, Math.max(0, (event.clientX - left - INSET) / (width - 2 * INSET))));
    };
    plot.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      plot.setPointerCapture(event.pointerId);
      seek(event);
    });
    plot.addEventListener("pointermove", (event) => {
      if (plot.hasPointerCapture(event.pointerId)) seek(event);
    });
    const row = made("div", "row", head, plot, legend);
    row.dataset["curve"] = curve.name;
    this.rows.push(row);
    return { curve, column, canvas, cursor, range, values };
  }

  /** Puts the cursor on a moment, and says the values there. */
  point(index: number): void {
    for (const { curve, column, cursor, canvas, values } of this.charts) {
      const width = canvas.clientWidth - 2 * INSET;
      cursor.style.transform = `translateX(${INSET + (width * Math.min(index, this.last)) / this.last}px)`;
      curve.names.forEach((_, line) => {
        const value = this.table.at(Math.min(index, this.table.count - 1), column + line);
        const text = Number.isNaN(value) ? "–" : value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
        if (values[line]!.textContent !== text) values[line]!.textContent = text;
      });
    }
  }

  /** The lowest and the highest value of each curve. */
  ranges(): [number, number][] {
    return this.charts.map(({ curve, column }) => {
      let [low, high] = [0, 0];
      for (let index = 0; index < this.table.count; index++) {
        for (let line = 0; line < curve.names.length; line++) {
          const value = this.table.at(index, column + line);
          if (value < low) low = value;
          if (value > high) high = value;
        }
      }
      return [low, high];
    });
  }

  /** Draws every chart, `last` being the moment at its right end; nothing where all is as it was. */
  draw(last: number, ranges: [number, number][] = this.shown): void {
    this.last = Math.max(1, last);
    this.shown = ranges;
    const sizes = this.charts.map(({ canvas }) => [canvas.clientWidth, canvas.clientHeight]);
    const drawn = JSON.stringify([this.table.changes, this.last, ranges, sizes, devicePixelRatio]);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    this.charts.forEach((chart, index) => this.drawOne(chart, ranges[index] ?? [0, 1]));
  }

  private drawOne({ curve, column, canvas, range }: Chart, [low, high]: [number, number]): void {
    const ratio = devicePixelRatio;
    const [width, height] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio].map(Math.round) as [number, number];
    if (width === 0 || height === 0) return;
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    const { table } = this;
    if (high - low < 1e-6) high = low + 1;
    const digits = Math.max(0, 1 - Math.floor(Math.log10(high - low)));
    range.textContent = [low, high].map((value) => Number(value.toFixed(digits))).join(" to ");
    const pen = canvas.getContext("2d")!;
    pen.clearRect(0, 0, width, height);
    const inset = INSET * ratio;
    const x = (index: number) => inset + ((width - 2 * inset) * index) / this.last;
    const y = (value: number) => height - 2 * ratio - ((height - 4 * ratio) * (value - low)) / (high - low);
    pen.lineWidth = ratio;
    pen.strokeStyle = "#ffffff30";
    pen.beginPath();
    pen.moveTo(inset, y(0));
    pen.lineTo(width - inset, y(0));
    pen.stroke();
    pen.lineWidth = 1.4 * ratio;
    const stride = Math.max(1, Math.floor(table.count / (2 * width)));
    curve.names.forEach((_, line) => {
      pen.strokeStyle = COLOURS[line % COLOURS.length]!;
      pen.beginPath();
      let down = false;
      for (let index = 0; index < table.count; index += stride) {
        const value = table.at(index, column + line);
        if (Number.isNaN(value)) down = false;
        else if (down) pen.lineTo(x(index), y(value));
        else pen.moveTo(x(index), y(value));
        down = !Number.isNaN(value);
      }
      pen.stroke();
    });
  }
}
