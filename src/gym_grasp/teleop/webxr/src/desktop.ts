// A hand for those without a headset: moved by mouse and keyboard.

import { Quaternion, Vector3, type Camera } from "three";
import { Flag, Kind, RIGHT, type InputMessage, type Manifest } from "./protocol";

const SPEED = 0.25; // m/s
const TURN_SPEED = 1.2; // rad/s
const FINGER_SPEED = 1.5; // ranges of motion per second
const SHORTEST_PRESS = 120; // ms; the host looks at the newest input only
const DRAG = 0.0008; // m per pixel

/** Direction of each movement key in the headset's axes: x right, y up, z back. */
const MOVES: Record<string, [number, number, number]> = {
  KeyW: [0, 0, -1],
  KeyS: [0, 0, 1],
  KeyA: [-1, 0, 0],
  KeyD: [1, 0, 0],
  KeyE: [0, 1, 0],
  KeyQ: [0, -1, 0],
};
const TURNS: Record<string, [number, number, number]> = {
  ArrowUp: [1, 0, 0],
  ArrowDown: [-1, 0, 0],
  ArrowLeft: [0, 1, 0],
  ArrowRight: [0, -1, 0],
  KeyZ: [0, 0, 1],
  KeyX: [0, 0, -1],
};
const BUTTONS: Record<string, number> = {
  Space: Flag.clutch,
  Enter: Flag.reset,
  Delete: Flag.discard,
  Backspace: Flag.discard,
};

export class DesktopHand {
  private pressed = new Set<string>();
  /** When each button was pressed last: a short tap must be seen as well. */
  private taps = new Map<number, number>();
  private position = new Vector3(0, 1, -0.65);
  private orientation = new Quaternion();
  private fingers: { value: number; relaxed: number }[] = [];

  constructor(canvas: HTMLElement, private camera: Camera) {
    addEventListener("keydown", (event) => {
      if (event.repeat || event.target instanceof HTMLButtonElement) return;
      this.pressed.add(event.code);
      const button = BUTTONS[event.code];
      if (button) this.taps.set(button, performance.now());
      if (event.code in BUTTONS || event.code in TURNS) event.preventDefault();
    });
    addEventListener("keyup", (event) => this.pressed.delete(event.code));
    addEventListener("blur", () => this.pressed.clear());
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons === 1) this.drag(event.movementX, event.movementY);
    });
  }

  /** Takes up as many fingers as the host knows of. */
  begin(manifest: Manifest): void {
    if (this.fingers.length === manifest.flexions.length) return;
    this.fingers = manifest.flexions.map(({ relaxed }) => ({ value: relaxed, relaxed }));
  }

  capture(message: InputMessage, seconds: number): void {
    const slow = this.pressed.has("ShiftLeft") ? 0.3 : 1;
    let flags = 0;
    for (const [button, time] of this.taps) {
      flags |= button;
      if (performance.now() - time > SHORTEST_PRESS) this.taps.delete(button);
    }
    const turn = new Quaternion();
    for (const key of this.pressed) {
      flags |= BUTTONS[key] ?? 0;
      const move = MOVES[key];
      if (move) this.position.addScaledVector(new Vector3(...move), SPEED * slow * seconds);
      const axis = TURNS[key];
      if (axis) {
        turn.setFromAxisAngle(new Vector3(...axis), TURN_SPEED * slow * seconds);
        this.orientation.premultiply(turn);
      }
    }
    this.orientation.normalize();
    this.bend(FINGER_SPEED * seconds);
    message.addFlags(flags);
    const pose = [...this.position.toArray(), ...this.orientation.toArray()];
    message.hand(RIGHT, Kind.virtual, pose);
    message.values(RIGHT, this.fingers.map(({ value }) => value));
  }

  /** F closes and G opens all fingers that are open at first; a digit closes one, with shift it opens. */
  private bend(step: number): void {
    const all = Number(this.pressed.has("KeyF")) - Number(this.pressed.has("KeyG"));
    this.fingers.forEach((finger, index) => {
      const one = Number(this.pressed.has(`Digit${index + 1}`)) * (this.pressed.has("ShiftLeft") ? -1 : 1);
      const change = one + (finger.relaxed < 0.5 ? all : 0);
      finger.value = Math.min(1, Math.max(0, finger.value + change * step));
    });
  }

  private drag(right: number, down: number): void {
    const offset = new Vector3(right * DRAG, -down * DRAG, 0);
    this.position.add(offset.applyQuaternion(this.camera.quaternion));
  }
}
