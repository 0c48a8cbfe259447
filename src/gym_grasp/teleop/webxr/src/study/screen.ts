// One screen of the study, in the page and on a board in the scene.

import { Sheet } from "../board";
import type { Status } from "../protocol";

/** What a participant is shown, as the host's screens.py has it. */
export interface Screen {
  kind: "consent" | "practice" | "trial" | "item" | "end";
  step: string;
  title: string;
  text: string;
  part: string;
  note: string;
  values: number[];
  labels: string[];
  ends: [string, string];
  selected: number | null;
  confirm: string;
  back: string;
  hint: string;
  count: string;
}

export type StudyStatus = Status & { study: Screen };

const element = (id: string) => document.getElementById(id)!;
let shown = "";

/** Whether keys and hand are the robot's. */
export const drives = (screen: Screen | undefined) => screen?.kind === "trial" || screen?.kind === "practice";

/** Shows a screen in the page. */
export function showScreen(screen: Screen, status: StudyStatus, choose: (value: number) => void): void {
  document.body.dataset["screen"] = screen.kind;
  document.body.dataset["step"] = screen.step;
  document.body.dataset["state"] = status.state;
  element("part").textContent = screen.part;
  element("title").textContent = screen.title;
  element("text").textContent = screen.text;
  element("note").textContent = noteOf(screen, status);
  element("count").textContent = screen.count;
  element("hint").textContent = screen.hint;
  element("low").textContent = screen.ends[0];
  element("high").textContent = screen.ends[1];
  element("legend").textContent = [screen.title, ...screen.ends].filter(Boolean).join(" · ");
  element("time").textContent = timeOf(status);
  element("progress").style.width = `${100 * Math.min(1, Math.max(0, status.progress))}%`;
  label("confirm", screen.confirm);
  label("back", screen.back);
  (element("confirm") as HTMLButtonElement).disabled = screen.values.length > 0 && screen.selected === null;
  if (screen.step + screen.kind !== shown) {
    shown = screen.step + screen.kind;
    offer(screen, choose);
  }
  for (const input of document.querySelectorAll<HTMLInputElement>("#values input"))
    input.checked = Number(input.value) === screen.selected;
}

/** Makes a radio button for each value, and puts the focus where an answer begins. */
function offer(screen: Screen, choose: (value: number) => void): void {
  const labels = screen.values.map((value, index) => {
    const input = Object.assign(document.createElement("input"), { type: "radio", name: "value", value: String(value) });
    input.addEventListener("change", () => choose(value));
    const label = document.createElement("label");
    label.append(input, screen.labels[index] ?? String(value));
    return label;
  });
  element("values").replaceChildren(element("legend"), ...labels);
  if (drives(screen)) (document.activeElement as HTMLElement | null)?.blur();
  else labels[0]?.querySelector("input")?.focus();
}

function label(id: string, text: string): void {
  element(id).textContent = text;
  element(id).hidden = text === "";
}

const timeOf = (status: StudyStatus) => `${status.time.toFixed(1)} s of ${status.time_limit.toFixed(0)} s`;

function noteOf(screen: Screen, status: StudyStatus): string {
  if (screen.note) return screen.note;
  if (!drives(screen)) return "";
  if (status.state === "engaged" && status.at_limit) return "The robot's hand is at its limit: move yours back.";
  return status.guide || status.notice;
}

/** The screen for those inside the scene. */
export class StudyBoard extends Sheet {
  constructor() {
    super(1240, 1000, 1.3);
    this.position.set(0, 1.62, -1.55);
  }

  show(screen: Screen, status: StudyStatus): void {
    const note = noteOf(screen, status);
    const time = drives(screen) ? timeOf(status) : "";
    const size = screen.kind === "consent" ? 30 : 42;
    // small while the robot is moved, so that it hides nothing
    const small = drives(screen);
    this.scale.setScalar(small ? 0.62 : 1);
    this.position.set(small ? 0.75 : 0, small ? 1.45 : 1.62, small ? -1.3 : -1.55);
    this.rotation.y = small ? -0.5 : 0;
    this.draw([screen, note, time], (pen) => {
      let top = 34;
      if (screen.part) top = this.write(screen.part, top, 32, "#c6d0dc");
      top = this.write(screen.title, top + 6, 52, undefined, true) + 12;
      for (const line of screen.text.split("\n")) top = this.write(line || " ", top, size);
      if (note) top = this.write(note, top + 12, 42, "#f2b84b", true);
      if (time) this.write(time, top + 12, 40, "#c6d0dc");
      if (screen.values.length) this.row(pen, screen);
      if (screen.hint) this.write(screen.hint, this.height - 100, 30, "#c6d0dc");
    });
  }

  private row(pen: CanvasRenderingContext2D, screen: Screen): void {
    const [left, wide, top, high] = [44, this.width - 88, this.height - 280, 76];
    const step = wide / screen.values.length;
    pen.textAlign = "center";
    screen.values.forEach((value, index) => {
      const chosen = value === screen.selected;
      pen.fillStyle = chosen ? "#5ad1a5" : "#ffffff26";
      pen.beginPath();
      pen.roundRect(left + index * step + 3, top, step - 6, high, 10);
      pen.fill();
      pen.fillStyle = chosen ? "#0d141b" : "#f2f5f9";
      pen.font = `600 ${screen.values.length > 12 ? 26 : 36}px system-ui, sans-serif`;
      pen.fillText(screen.labels[index] ?? "", left + (index + 0.5) * step, top + 50, step - 10);
    });
    pen.textAlign = "left";
    pen.fillStyle = "#c6d0dc";
    pen.font = "34px system-ui, sans-serif";
    pen.fillText(screen.ends[0], left, top + high + 44, wide / 2);
    pen.textAlign = "right";
    pen.fillText([screen.ends[1], screen.count].filter(Boolean).join("   ·   "), left + wide, top + high + 44, wide / 2);
    pen.textAlign = "left";
  }
}
