// Curves under the timeline: a row for each kind of value, a column for each side.

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
  private values = new Float32Array(0);

  clear(): void {
    this.count = 0;
  }

  put(first: number, count: number, width: number, rows: Float32Array): void {
    this.width = width;
    this.count = first + count;
    if (this.values.length < this.count * width) {
      const more = new Float32Array(Math.max(2 * this.values.length, this.count * width));
      more.set(this.values);
      this.values = more;
    }
    this.values.set(rows, first * width);
  }

  at(index: number, column: number): number {
    return index < this.count ? this.values[index * this.width + column]! : NaN;
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

/** All charts of one side. */
export class Charts {
  readonly root = document.createElement("div");
  readonly table = new Table();
  private charts: Chart[] = [];
  private last = 1;

  constructor(
    curves: Curve[],
    label: string,
    private onSeek: (share: number) => void,
  ) {
    this.root.className = "charts";
    this.root.setAttribute("role", "group");
    this.root.setAttribute("aria-label", `curves of ${label}`);
    let column = 0;
    for (const curve of curves) {
      this.charts.push(this.chart(curve, column, label));
      column += curve.names.length;
    }
    new ResizeObserver(() => this.draw(this.last)).observe(this.root);
  }

  /** Where a group of values begins in a row, and how many there are. */
  columns(name: string): [number, number] {
    const chart = this.charts.find(({ curve }) => curve.name === name);
    return chart ? [chart.column, chart.curve.names.length] : [0, 0];
  }

  private chart(curve: Curve, column: number, label: string): Chart {
    const row = document.createElement("details");
    row.open = true;
    row.dataset["curve"] = curve.name;
    const summary = document.createElement("summary");
    const title = document.createElement("span");
    title.className = "title";
    title.textContent = curve.unit === "1" ? curve.name : `${curve.name} [${curve.unit}]`;
    const range = document.createElement("span");
    range.className = "range";
    summary.append(title, range);
    const legend = document.createElement("span");
    legend.className = "legend";
    const values = curve.names.map((name, line) => {
      const item = document.createElement("span");
      const mark = document.createElement("i");
      mark.style.background = COLOURS[line % COLOURS.length]!;
      const value = document.createElement("b");
      item.append(mark, name.replaceAll("_", " "), " ", value);
      legend.append(item);
      return value;
    });
    const plot = document.createElement("div");
    plot.className = "plot";
    const canvas = document.createElement("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${curve.name} of ${label} over time`);
    const cursor = document.createElement("div");
    cursor.className = "cursor";
    plot.append(canvas, cursor);
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
    row.append(summary, plot, legend);
    row.addEventListener("toggle", () => this.draw(this.last));
    this.root.append(row);
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

  /** Draws every chart, `last` being the moment at its right end. */
  draw(last: number): void {
    this.last = Math.max(1, last);
    for (const chart of this.charts) this.drawOne(chart);
  }

  private drawOne({ curve, column, canvas, range }: Chart): void {
    const ratio = devicePixelRatio;
    const [width, height] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio].map(Math.round) as [number, number];
    if (width === 0 || height === 0) return;
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    const { table } = this;
    let [low, high] = [0, 0];
    for (let index = 0; index < table.count; index++) {
      for (let line = 0; line < curve.names.length; line++) {
        const value = table.at(index, column + line);
        if (value < low) low = value;
        if (value > high) high = value;
      }
    }
    if (high - low < 1e-6) high = low + 1;
    range.textContent = `${short(low)} to ${short(high)}`;
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

const short = (value: number): string => String(Number(value.toPrecision(2)));
