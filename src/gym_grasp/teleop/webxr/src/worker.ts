// The connection, in a thread of its own so that drawing never holds it up. It keeps no queue:
// an input that the network cannot take now is dropped, since a newer one follows.

import { VirtualHand, type Desk } from "./hand";
import {
  CAPTURE_AT,
  INPUT_SIZE,
  InputMessage,
  SEQUENCE_AT,
  SUBPROTOCOL,
  VERSION,
  type Told,
} from "./protocol";

export type ToWorker =
  | { type: "open"; address: string; token: string; role: "drive" | "watch"; name: string }
  | { type: "desk"; desk: Desk }
  | { type: "headset"; on: boolean }
  | { type: "input"; message: ArrayBuffer }
  | { type: "say"; message: Record<string, unknown> };

export type FromWorker =
  | { type: "scene"; message: ArrayBuffer }
  | { type: "told"; message: Told }
  | { type: "closed"; code: number; reason: string; final: boolean }
  | { type: "clock"; roundTrip: number };

const PING_PERIOD = 250; // ms
const REMEMBERED_PINGS = 40; // 10 s
const HAND_PERIOD = 1000 / 90; // ms
const SHORTEST_WAIT = 250; // ms, until the next try to connect
const LONGEST_WAIT = 4000;
const SILENCE = 4000; // ms without a word from the host, after which the connection counts as dead
const FINAL_CODES = [4401, 4403, 4406]; // trying again would not help

let socket: WebSocket | undefined;
let heard = 0;
let wait = SHORTEST_WAIT;
let again = () => {};
let over = false;
/** Newest measurements of the host's clock: round trip, and host minus own clock, both in s. */
let pings: { roundTrip: number; offset: number }[] = [];
let drives = false;
let epoch = 0;
let sequence = 0;
let headset = false;
const hand = new VirtualHand();
const message = new InputMessage();

const post = (told: FromWorker, transfer: Transferable[] = []) => self.postMessage(told, { transfer });

/** Seconds on a clock that page and worker share. */
const now = () => (performance.timeOrigin + performance.now()) / 1000;

/** The offset measured with the shortest round trip has the smallest error. */
const offset = () => pings.reduce((best, ping) => (ping.roundTrip < best.roundTrip ? ping : best)).offset;

function open(address: string, token: string, role: string, name: string): void {
  const opened = new WebSocket(address, SUBPROTOCOL);
  socket = opened;
  heard = performance.now();
  again = () => open(address, token, role, name);
  opened.binaryType = "arraybuffer";
  opened.onopen = () => {
    pings = [];
    say({ type: "hello", version: VERSION, token, role, name });
    ping();
  };
  opened.onmessage = (event: MessageEvent<string | ArrayBuffer>) => {
    heard = performance.now();
    if (event.data instanceof ArrayBuffer) post({ type: "scene", message: event.data }, [event.data]);
    else hear(JSON.parse(event.data) as Told);
  };
  opened.onclose = (event) => closed(event.code, event.reason);
}

function hear(told: Told): void {
  if (told.type === "pong") {
    const roundTrip = now() - told.time;
    pings.push({ roundTrip, offset: told.host - (told.time + roundTrip / 2) });
    if (pings.length > REMEMBERED_PINGS) pings.shift();
    post({ type: "clock", roundTrip });
    return;
  }
  if (told.type === "welcome") {
    wait = SHORTEST_WAIT;
    over = false;
    hand.begin(told.scene);
  } else if (told.type === "role") {
    drives = told.role === "drive";
    epoch = told.epoch;
  } else if (told.type === "over") {
    over = true;
  }
  post({ type: "told", message: told });
}

function closed(code: number, reason: string): void {
  socket = undefined;
  drives = false;
  const final = FINAL_CODES.includes(code);
  post({ type: "closed", code, reason, final });
  if (!final) setTimeout(again, over ? LONGEST_WAIT : wait);
  wait = Math.min(2 * wait, LONGEST_WAIT);
}

/** A network that is gone says nothing, not even that it is: do not wait for it to close. */
function watch(): void {
  if (!socket || performance.now() - heard < SILENCE) return;
  socket.onopen = socket.onmessage = socket.onclose = null;
  socket.close();
  closed(0, "nothing is heard from the host");
}

function say(told: Record<string, unknown>): void {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(told));
}

function ping(): void {
  say({ type: "ping", time: now() });
}

function send(buffer: ArrayBuffer): void {
  if (!drives || socket?.readyState !== WebSocket.OPEN || pings.length === 0) return;
  if (socket.bufferedAmount > 2 * INPUT_SIZE) return;
  const view = new DataView(buffer);
  view.setUint32(SEQUENCE_AT, ++sequence, true);
  view.setFloat64(CAPTURE_AT, view.getFloat64(CAPTURE_AT, true) + offset(), true);
  socket.send(buffer);
}

setInterval(() => {
  watch();
  ping();
}, PING_PERIOD);
setInterval(() => {
  if (headset) return;
  hand.capture(message, epoch);
  send(message.copy());
}, HAND_PERIOD);

self.onmessage = (event: MessageEvent<ToWorker>) => {
  const told = event.data;
  if (told.type === "open") open(told.address, told.token, told.role, told.name);
  else if (told.type === "desk") hand.hear(told.desk);
  else if (told.type === "headset") headset = told.on;
  else if (told.type === "input") send(told.message);
  else say(told.message);
};
