// Boards in the scene, for those inside it: where things stand ahead, the controls beside it.

import { CanvasTexture, Group, Mesh, MeshBasicMaterial, PlaneGeometry, SRGBColorSpace } from "three";
import { controls, type Means, type Words } from "./words";

export const COLOURS: Record<string, string> = {
  waiting: "#6aa9ff",
  engaged: "#5ad1a5",
  paused: "#f2b84b",
  done: "#c792ea",
  offline: "#f06a6a",
  over: "#c792ea",
};

const FONT = "system-ui, sans-serif";
const INK = "#f2f5f9";
/** Height of the smallest letters' line [px]; at 1.1 mm a pixel and 1.7 m, 1.5 degrees. */
const SMALL = 40;
const MARGIN = 44;

/** A canvas in space. */
export class Sheet extends Mesh<PlaneGeometry, MeshBasicMaterial> {
  readonly pen: CanvasRenderingContext2D;
  private texture: CanvasTexture;
  private shown = "";

  constructor(readonly width: number, readonly height: number, metres: number) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [width, height];
    const texture = new CanvasTexture(canvas);
    texture.colorSpace = SRGBColorSpace;
    texture.anisotropy = 8;
    super(new PlaneGeometry(metres, (metres * height) / width), new MeshBasicMaterial({ map: texture, transparent: true }));
    this.texture = texture;
    this.pen = canvas.getContext("2d")!;
  }

  /** Draws anew if the content differs from what is shown. */
  draw(content: unknown, how: (pen: CanvasRenderingContext2D) => void): void {
    const text = JSON.stringify(content);
    if (text === this.shown) return;
    this.shown = text;
    const { pen, width, height } = this;
    pen.clearRect(0, 0, width, height);
    pen.fillStyle = "#161b21f2";
    pen.beginPath();
    pen.roundRect(0, 0, width, height, 40);
    pen.fill();
    pen.textAlign = "left";
    how(pen);
    this.texture.needsUpdate = true;
  }

  /** Writes a text in lines of the board's width, and returns where the next line begins. */
  write(text: string, top: number, size: number, colour = INK, bold = false): number {
    const { pen, width } = this;
    pen.font = `${bold ? 600 : 400} ${size}px ${FONT}`;
    pen.fillStyle = colour;
    let line = "";
    for (const word of [...text.split(" "), ""]) {
      const longer = line ? `${line} ${word}` : word;
      if (word && pen.measureText(longer).width <= width - 2 * MARGIN) {
        line = longer;
        continue;
      }
      pen.fillText(line, MARGIN, top + size);
      top += 1.3 * size;
      line = word;
    }
    return top;
  }
}

export class Boards extends Group {
  private main = new Sheet(1120, 690, 1.15);
  private side = new Sheet(760, 640, 0.8);

  constructor() {
    super();
    this.main.position.set(-0.05, 1.52, -1.8);
    this.side.position.set(-1.0, 1.32, -1.35);
    this.side.rotation.y = 0.65;
    this.add(this.main, this.side);
  }

  show(words: Words, means: Means): void {
    const { main, side } = this;
    const { latency: _, ...content } = words;
    content.numbers = content.numbers.replace(/ · episode.*/, "");
    main.draw(content, (pen) => {
      pen.fillStyle = COLOURS[content.state] ?? INK;
      pen.beginPath();
      pen.arc(MARGIN + 22, 66, 22, 0, 2 * Math.PI);
      pen.fill();
      pen.font = `600 64px ${FONT}`;
      pen.fillText(content.title, MARGIN + 64, 88);
      pen.textAlign = "right";
      pen.fillStyle = INK;
      pen.font = `${SMALL}px ${FONT}`;
      pen.fillText(content.task, main.width - MARGIN, 84, 560);
      pen.textAlign = "left";
      let top = 124;
      if (content.notice) top = main.write(content.notice, top, 46, COLOURS["paused"], true);
      if (content.next) top = main.write(content.next, top + 4, 46, INK, true);
      if (content.goal) top = main.write(content.goal, top + 8, SMALL);
      if (content.moves) main.write(content.moves, top + 8, SMALL, "#c6d0dc");
      main.write(content.numbers, main.height - 104, SMALL - 4, "#c6d0dc");
      pen.fillStyle = "#ffffff30";
      pen.fillRect(MARGIN, main.height - 40, main.width - 2 * MARGIN, 16);
      pen.fillStyle = "#5ad1a5";
      pen.fillRect(MARGIN, main.height - 40, (main.width - 2 * MARGIN) * content.progress, 16);
    });
    side.draw(means, (pen) => {
      side.write("Controls", 30, 52, INK, true);
      controls(means).forEach(([what, how], row) => {
        const line = 150 + 66 * row;
        pen.font = `${SMALL}px ${FONT}`;
        pen.fillStyle = "#c6d0dc";
        pen.fillText(what, MARGIN, line);
        pen.fillStyle = INK;
        pen.font = `600 ${SMALL}px ${FONT}`;
        pen.fillText(how, 350, line, side.width - 350 - MARGIN);
      });
    });
  }
}
