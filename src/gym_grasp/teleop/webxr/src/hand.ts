// A hand for those without a headset, moved by keys, mouse and touch. It lives in the thread of the
// connection, at a rate of its own, so that slow drawing never makes its pose stale.

import { Flag, Kind, RIGHT, type InputMessage, type Manifest } from "./protocol";

const SPEED = 0.25; // m/s
const TURN_SPEED = 1.2; // rad/s
const FINGER_SPEED = 1.5; // ranges of motion per second
const SHORTEST_PRESS = 120; // ms; the host looks at the newest input only
const SHORTEST_GAP = 60; // ms; between two presses, which would else look like one
const DRAG_SPEED = 1.0; // m/s: what a flick of the mouse asks for comes as a movement, not a jump
const BELIEVED = 250; // ms; then keys count as released, since the page may hang
const ALIVE = 1500; // ms; then the page counts as hidden

type Vector = [number, number, number];
/** x y z w. */
type Quaternion = [number, number, number, number];

/** Direction of each movement key as one sees it: x right, y up, z towards the viewer. */
const MOVES: Record<string, Vector> = {
  KeyW: [0, 0, -1],
  KeyS: [0, 0, 1],
  KeyA: [-1, 0, 0],
  KeyD: [1, 0, 0],
  KeyE: [0, 1, 0],
  KeyQ: [0, -1, 0],
};
const TURNS: Record<string, Vector> = {
  ArrowUp: [1, 0, 0],
  ArrowDown: [-1, 0, 0],
  ArrowLeft: [0, 1, 0],
  ArrowRight: [0, -1, 0],
  KeyZ: [0, 0, 1],
  KeyX: [0, 0, -1],
};
export const BUTTONS: Record<string, number> = {
  Space: Flag.clutch,
  Enter: Flag.reset,
  Delete: Flag.discard,
  Backspace: Flag.discard,
};
export const HAND_KEYS = new Set([
  ...Object.keys(MOVES),
  ...Object.keys(TURNS),
  ...["KeyF", "KeyG", "ShiftLeft", "ShiftRight"],
  ...[1, 2, 3, 4, 5].map((digit) => `Digit${digit}`),
]);

/** What the page knows of keys, mouse and touch. */
export interface Desk {
  keys: string[];
  /** Buttons that went down since the page told last; a short tap must be seen as well. */
  taps: number;
  /** How far the hand was dragged since then [m], in the headset's axes. */
  drag: Vector;
  /** Which way the camera looks: its turn about the vertical [rad]. */
  yaw: number;
  hidden: boolean;
  /** The newest scene that was drawn. */
  scene: number;
}

export class VirtualHand {
  private desk: Desk = { keys: [], taps: 0, drag: [0, 0, 0], yaw: 0, hidden: true, scene: 0 };
  private told = -Infinity;
  /** Presses to be shown, from when on. */
  private taps: { button: number; from: number }[] = [];
  private position: Vector = [0, 1, -0.65];
  private orientation: Quaternion = [0, 0, 0, 1];
  private dragged: Vector = [0, 0, 0];
  private fingers: { value: number; relaxed: number }[] = [];
  private before = performance.now();

  /** Takes up as many fingers as the host knows of. */
  begin(manifest: Manifest): void {
    if (this.fingers.length === manifest.flexions.length) return;
    this.fingers = manifest.flexions.map(({ relaxed }) => ({ value: relaxed, relaxed }));
  }

  /** Hears what the page knows. */
  hear(desk: Desk): void {
    this.desk = desk;
    this.told = performance.now();
    this.dragged = plus(this.dragged, desk.drag);
    for (const button of new Set(Object.values(BUTTONS))) {
      if (!(desk.taps & button)) continue;
      const last = this.taps.filter((tap) => tap.button === button).at(-1);
      const free = last ? last.from + SHORTEST_PRESS + SHORTEST_GAP : 0;
      this.taps.push({ button, from: Math.max(this.told, free) });
    }
  }

  /** Moves on, and writes the present pose. */
  capture(message: InputMessage, epoch: number): void {
    const now = performance.now();
    const seconds = Math.min(0.1, (now - this.before) / 1000);
    this.before = now;
    const keys = new Set(now - this.told < BELIEVED ? this.desk.keys : []);
    let flags = !this.desk.hidden && now - this.told < ALIVE ? Flag.visible : 0;
    let [held, tapped, due] = [0, 0, 0];
    for (const key of keys) held |= BUTTONS[key] ?? 0;
    this.taps = this.taps.filter(({ from }) => now - from < SHORTEST_PRESS + SHORTEST_GAP);
    for (const { button, from } of this.taps) {
      if (now < from) due |= button;
      else if (now - from < SHORTEST_PRESS) tapped |= button;
    }
    flags |= tapped | (held & ~due); // a key held again is let go of first
    this.move(keys, seconds);
    message.begin(flags, this.desk.scene, epoch, (performance.timeOrigin + now) / 1000);
    message.hand(RIGHT, Kind.virtual, [...this.position, ...this.orientation]);
    message.values(RIGHT, this.fingers.map(({ value }) => value));
  }

  private move(keys: Set<string>, seconds: number): void {
    const shift = keys.has("ShiftLeft") || keys.has("ShiftRight");
    const slow = shift ? 0.3 : 1;
    const { yaw } = this.desk;
    for (const key of keys) {
      const move = MOVES[key];
      if (move) this.position = plus(this.position, seen(move, yaw), SPEED * slow * seconds);
      const axis = TURNS[key];
      if (axis) this.orientation = turned(this.orientation, seen(axis, yaw), TURN_SPEED * slow * seconds);
    }
    const share = Math.min(1, (DRAG_SPEED * seconds) / Math.max(1e-9, Math.hypot(...this.dragged)));
    this.position = plus(this.position, this.dragged, share);
    this.dragged = plus(this.dragged, this.dragged, -share);
    this.bend(keys, shift, FINGER_SPEED * seconds);
  }

  /** F closes and G opens all fingers that are open at first; a digit closes one, with shift it opens. */
  private bend(keys: Set<string>, shift: boolean, step: number): void {
    const all = Number(keys.has("KeyF")) - Number(keys.has("KeyG"));
    this.fingers.forEach((finger, index) => {
      const one = Number(keys.has(`Digit${index + 1}`)) * (shift ? -1 : 1);
      const change = one + (finger.relaxed < 0.5 ? all : 0);
      finger.value = Math.min(1, Math.max(0, finger.value + change * step));
    });
  }
}

const plus = ([a, b, c]: Vector, [x, y, z]: Vector, share = 1): Vector => [a + share * x, b + share * y, c + share * z];

/** From the axes of one who looks in the direction of a yaw [rad] to the headset's. */
function seen([x, y, z]: Vector, yaw: number): Vector {
  const [c, s] = [Math.cos(yaw), Math.sin(yaw)];
  return [c * x + s * z, y, c * z - s * x];
}

/** An orientation turned on by an angle [rad] about a fixed axis. */
function turned([x, y, z, w]: Quaternion, axis: Vector, angle: number): Quaternion {
  const s = Math.sin(angle / 2);
  const [a, b, c, d] = [s * axis[0], s * axis[1], s * axis[2], Math.cos(angle / 2)];
  const product: Quaternion = [
    d * x + a * w + b * z - c * y,
    d * y - a * z + b * w + c * x,
    d * z + a * y - b * x + c * w,
    d * w - a * x - b * y - c * z,
  ];
  const length = Math.hypot(...product);
  return [product[0] / length, product[1] / length, product[2] / length, product[3] / length];
}
