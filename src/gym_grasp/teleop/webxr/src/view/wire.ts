// What the host that shows sends and takes; gym_grasp/view/wire.py says what every field means.

import { VERSION, type Manifest } from "../protocol";

const MOMENT = 3;
const CURVES = 4;

export interface Curve {
  name: string;
  unit: string;
  names: string[];
}

export interface About {
  name: string;
  kind: "episode" | "policy" | "operator" | "nobody";
  task: string;
  summary: string;
  robot: string;
  notice: string;
  curves: Curve[];
}

export interface Listed {
  steps: number;
  success: boolean;
  events: Record<string, string | number | boolean>;
}

export interface Welcome {
  type: "welcome";
  version: number;
  /** Seconds between two moments. */
  period: number;
  sides: About[];
  operator: string | null;
  episodes: Listed[] | null;
}

export interface Opened {
  type: "opened";
  side: number;
  seed: string;
  episode: number | null;
  scene: Manifest;
}

export interface Status {
  type: "status";
  index: number;
  playing: boolean;
  speed: number;
  pace: number;
  loop: boolean;
  held: boolean;
  loading: boolean;
  notice: string;
  sides: { known: number; outcome: string; touched: boolean }[];
}

export type Told = Welcome | Opened | Status;

/** What a page may ask for. */
export type Asked =
  | { type: "play" | "loop"; on: boolean }
  | { type: "seek"; index: number }
  | { type: "step"; by: number }
  | { type: "speed"; value: number }
  | { type: "reset"; seed?: string; index?: number }
  | { type: "open"; episode: number; index?: number }
  | { type: "drag"; side: number; body: number; point: number[]; to: number[] }
  | { type: "release" };

/** One moment of one side. */
export interface Seen {
  index: number;
  /** Position and quaternion of every moving body, 7 numbers each. */
  poses: Float32Array;
  /** The desired wrist, 7 numbers. */
  target: Float32Array;
  /** Point and force of every contact, 6 numbers each. */
  contacts: Float32Array;
}

export interface Moment {
  type: "moment";
  index: number;
  sides: Seen[];
}

export interface Rows {
  type: "rows";
  side: number;
  first: number;
  count: number;
  width: number;
  values: Float32Array;
}

export function readBinary(buffer: ArrayBuffer): Moment | Rows {
  const view = new DataView(buffer);
  if (view.getUint8(1) !== VERSION) throw new Error("of another version");
  if (view.getUint8(0) === MOMENT) return readMoment(buffer, view);
  if (view.getUint8(0) === CURVES) return readRows(buffer, view);
  throw new Error("neither a moment nor curves");
}

function readMoment(buffer: ArrayBuffer, view: DataView): Moment {
  const sides: Seen[] = [];
  let at = 8;
  const floats = (count: number): Float32Array => {
    const values = new Float32Array(buffer, at, count);
    at += 4 * count;
    return values;
  };
  for (let side = 0; side < view.getUint16(2, true); side++) {
    const index = view.getUint32(at, true);
    const bodies = view.getUint16(at + 4, true);
    const contacts = view.getUint16(at + 6, true);
    at += 8;
    sides.push({ index, poses: floats(7 * bodies), target: floats(7), contacts: floats(6 * contacts) });
  }
  return { type: "moment", index: view.getUint32(4, true), sides };
}

function readRows(buffer: ArrayBuffer, view: DataView): Rows {
  const count = view.getUint32(8, true);
  const width = view.getUint32(12, true);
  return {
    type: "rows",
    side: view.getUint16(2, true),
    first: view.getUint32(4, true),
    count,
    width,
    values: new Float32Array(buffer, 16, count * width),
  };
}
