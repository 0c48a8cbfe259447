// What goes over the wire; the host's protocol.py says what every field means.

export const VERSION = 2;
export const SUBPROTOCOL = "gym-grasp.2";

export const JOINTS = 25;
const HAND_SIZE = 856;
const HANDS_AT = 52;
export const INPUT_SIZE = HANDS_AT + 2 * HAND_SIZE;
export const SEQUENCE_AT = 4;
export const CAPTURE_AT = 16;
const SCENE_HEADER = 36;
const FINGERS_AT = 32;

export const Flag = { visible: 1, head: 2, clutch: 4, reset: 8, discard: 16, next: 32, recentred: 64 } as const;
export const Kind = { none: 0, controller: 1, hand: 2, virtual: 3 } as const;
export const LEFT = 0;
export const RIGHT = 1;

/** Position [m] and quaternion x y z w. */
export type Pose = ArrayLike<number>;

export interface Geom {
  name: string;
  body: number;
  type: "plane" | "sphere" | "capsule" | "ellipsoid" | "cylinder" | "box" | "mesh";
  size: number[];
  position: [number, number, number];
  quaternion: [number, number, number, number];
  colour: [number, number, number, number];
  shininess: number;
  vertices?: number[];
  faces?: number[];
}

export interface Manifest {
  task: string;
  hash: string;
  bodies: string[];
  /** The robot's fingers, and which of `bodies` holds each fingertip; -1 where none is drawn. */
  fingers: { name: string; body: number }[];
  /** What a hand moved by mouse and keyboard sends, and where it begins. */
  flexions: { name: string; relaxed: number }[];
  geoms: Geom[];
  /** From where what the hand does is seen, and from where all is. */
  view: View;
  whole: View;
}

export interface View {
  position: [number, number, number];
  quaternion: [number, number, number, number];
  /** In degrees. */
  fovy: number;
  /** Of what is looked at, in m. */
  distance: number;
}

export interface Status {
  task: string;
  summary: string;
  state: "waiting" | "engaged" | "paused" | "done";
  notice: string;
  guide: string;
  time: number;
  time_limit: number;
  progress: number;
  /** Whether workspace or arm held the hand back in the last step. */
  at_limit: boolean;
  success: boolean;
  kept: number;
  failed: number;
  /** Successes that the operator discarded. */
  dropped: number;
  /** After how many kept episodes the session ends; null: never. */
  wanted: number | null;
  /** Whether the clutch is held down, instead of pressed to begin and again to stop. */
  hold: boolean;
  recorded: boolean;
  clients: number;
  driver: "page" | "nobody" | "kept" | "device";
  /** Whether someone asks to drive. */
  asked: boolean;
  moved_by: string;
  /** What the controls of a device on the host are called. */
  controls: Partial<Record<"clutch" | "next" | "reset" | "discard", string>> | null;
  /** What each task is about that the operator may go on with. */
  tasks: Record<string, string>;
  /** What came of the tasks before this one. */
  earlier: { task: string; kept: number; failed: number }[];
  /** Since the host started [s]. */
  session_time: number;
  late: number;
  skipped: number;
  latency: Record<string, { p50_ms: number; p99_ms: number }>;
}

/** What came of the session. */
export interface Outcome {
  path: string | null;
  kept: number;
  /** Commands to go on with. */
  next: string[];
}

/** What the host says in JSON. */
export type Told =
  | { type: "welcome"; version: number; scene: Manifest }
  | { type: "role"; role: "drive" | "watch"; epoch: number; note: string }
  | ({ type: "over" } & Outcome)
  | ({ type: "status" } & Status)
  | { type: "pong"; time: number; host: number };

/** Builds the one message that goes out at every frame. */
export class InputMessage {
  private buffer = new ArrayBuffer(INPUT_SIZE);
  private view = new DataView(this.buffer);
  private sequence = 0;

  begin(flags: number, scene: number, epoch: number, capture: number): void {
    new Uint8Array(this.buffer).fill(0);
    const view = this.view;
    view.setUint8(0, 1);
    view.setUint8(1, VERSION);
    view.setUint16(2, flags, true);
    view.setUint32(SEQUENCE_AT, ++this.sequence, true);
    view.setUint32(8, scene, true);
    view.setUint32(12, epoch, true);
    view.setFloat64(CAPTURE_AT, capture, true);
  }

  addFlags(flags: number): void {
    this.view.setUint16(2, this.view.getUint16(2, true) | flags, true);
  }

  head(pose: Pose): void {
    this.addFlags(Flag.head);
    this.floats(24, pose);
  }

  hand(side: number, kind: number, pose: Pose): void {
    const at = HANDS_AT + side * HAND_SIZE;
    this.view.setUint8(at, kind);
    this.floats(at + 4, pose);
  }

  buttons(side: number, pressed: number): void {
    this.view.setUint8(HANDS_AT + side * HAND_SIZE + 1, pressed & 0xff);
  }

  values(side: number, values: ArrayLike<number>): void {
    this.floats(HANDS_AT + side * HAND_SIZE + 32, values);
  }

  joint(side: number, index: number, pose: Pose, radius: number): void {
    const at = HANDS_AT + side * HAND_SIZE + 52;
    this.view.setUint32(at, this.view.getUint32(at, true) | (1 << index), true);
    this.floats(at + 4 + index * 32, pose);
    this.view.setFloat32(at + 4 + index * 32 + 28, radius, true);
  }

  copy(): ArrayBuffer {
    return this.buffer.slice(0);
  }

  private floats(at: number, values: ArrayLike<number>): void {
    for (let i = 0; i < values.length; i++) this.view.setFloat32(at + 4 * i, values[i]!, true);
  }
}

/** One moment of the simulation. */
export interface SceneMessage {
  sequence: number;
  simulated: number;
  /** Of each of the robot's fingers. */
  brake: Float32Array;
  vibration: Float32Array;
  /** Position and quaternion of every moving body, 7 numbers each. */
  poses: Float32Array;
}

export function readScene(buffer: ArrayBuffer): SceneMessage {
  const view = new DataView(buffer);
  if (view.getUint8(0) !== 2 || view.getUint8(1) !== VERSION) throw new Error("not a scene");
  const fingers = view.getUint16(FINGERS_AT, true);
  return {
    sequence: view.getUint32(4, true),
    simulated: view.getFloat64(16, true),
    brake: new Float32Array(buffer, SCENE_HEADER, fingers),
    vibration: new Float32Array(buffer, SCENE_HEADER + 4 * fingers, fingers),
    poses: new Float32Array(buffer, SCENE_HEADER + 8 * fingers, 7 * view.getUint16(2, true)),
  };
}
