// Keys, mouse and touch: what is pressed and dragged, for the hand in the other thread.

import { Vector3, type PerspectiveCamera } from "three";
import { BUTTONS, HAND_KEYS, type Desk } from "./hand";

const DRAG = 0.0008; // m per pixel
const PERIOD = 30; // ms between two reports, where drawing does not report anyway

export class Desktop {
  private pressed = new Set<string>();
  private taps = 0;
  private dragged = new Vector3();
  private fingers = new Map<number, { x: number; y: number }>();

  /**
   * @param report called with everything that changed.
   * @param actions what other keys do.
   * @param drives whether keys are the robot's; else they do what they do on any page.
   */
  constructor(
    private canvas: HTMLElement,
    private camera: PerspectiveCamera,
    private report: () => void,
    private actions: Record<string, () => void>,
    private drives: () => boolean,
  ) {
    addEventListener("keydown", (event) => this.down(event), { capture: true });
    addEventListener("keyup", (event) => this.up(event), { capture: true });
    addEventListener("blur", () => this.release());
    canvas.addEventListener("pointerdown", (event) => this.grip(event));
    canvas.addEventListener("pointermove", (event) => this.drag(event));
    for (const end of ["pointerup", "pointercancel"] as const)
      canvas.addEventListener(end, (event) => this.fingers.delete(event.pointerId));
    for (const button of document.querySelectorAll<HTMLElement>("[data-key]")) this.offer(button);
    setInterval(report, PERIOD);
  }

  /** Returns what happened since the last call. */
  take(scene: number): Desk {
    const ahead = new Vector3(0, 0, -1).applyQuaternion(this.camera.quaternion);
    const desk: Desk = {
      keys: [...this.pressed],
      taps: this.taps,
      drag: this.dragged.toArray(),
      yaw: Math.atan2(-ahead.x, -ahead.z),
      hidden: document.hidden,
      scene,
    };
    this.taps = 0;
    this.dragged.set(0, 0, 0);
    return desk;
  }

  private down(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || dialogIsOpen()) return;
    const robots = event.code in BUTTONS || HAND_KEYS.has(event.code);
    // whatever has the focus: space and enter are the robot's, and press nothing on the page
    if (robots && this.drives()) {
      event.preventDefault();
      event.stopPropagation();
      if (!event.repeat) this.press(event.code);
      return;
    }
    const action = this.actions[event.code];
    if (!action || event.repeat) return;
    event.preventDefault();
    action();
  }

  private up(event: KeyboardEvent): void {
    if (this.drives() && event.code in BUTTONS && !dialogIsOpen()) event.preventDefault();
    if (this.pressed.delete(event.code)) this.report();
  }

  private press(code: string): void {
    this.pressed.add(code);
    this.taps |= BUTTONS[code] ?? 0;
    this.report();
  }

  private release(): void {
    this.pressed.clear();
    this.report();
  }

  /** Lets a button on the screen be held down like the key whose name it bears. */
  private offer(button: HTMLElement): void {
    const name = () => button.dataset["key"]!;
    let held = "";
    button.addEventListener("pointerdown", (event) => {
      event.preventDefault(); // no focus, no selection
      button.setPointerCapture(event.pointerId);
      held = name();
      this.press(held);
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"] as const)
      button.addEventListener(end, () => {
        if (this.pressed.delete(held)) this.report();
      });
    button.addEventListener("click", (event) => {
      if (event.detail !== 0) return; // a pointer's click was dealt with above
      this.press(name());
      this.pressed.delete(name());
    });
  }

  private grip(event: PointerEvent): void {
    if (event.button === 0) this.fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
  }

  private drag(event: PointerEvent): void {
    const before = this.fingers.get(event.pointerId);
    if (!before) return;
    const [right, down] = [event.clientX - before.x, event.clientY - before.y];
    this.fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (this.fingers.size > 1) return; // two fingers look around
    const scale = (DRAG * 900) / Math.max(300, this.canvas.clientHeight);
    const offset = new Vector3(right * scale, -down * scale, 0);
    this.dragged.add(offset.applyQuaternion(this.camera.quaternion));
    this.report();
  }
}

const dialogIsOpen = () => document.querySelector("dialog[open]") !== null;
