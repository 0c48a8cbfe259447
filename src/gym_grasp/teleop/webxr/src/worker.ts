// The connection, in a thread of its own so that drawing never holds it up. It keeps no queue:
// an input that the network cannot take now is dropped, since a newer one follows.

import { CAPTURE_AT, INPUT_SIZE, SUBPROTOCOL, VERSION, type Told } from "./protocol";

export type ToWorker =
  | { type: "open"; address: string; token: string; role: "drive" | "watch" }
  | { type: "input"; message: ArrayBuffer }
  | { type: "say"; message: Record<string, unknown> };

export type FromWorker =
  | { type: "scene"; message: ArrayBuffer }
  | { type: "told"; message: Told }
  | { type: "closed"; code: number; reason: string; final: boolean }
  | { type: "clock"; roundTrip: number };

const PING_PERIOD = 250; // ms
const REMEMBERED_PINGS = 40; // 10 s
const SHORTEST_WAIT = 250; // ms, until the next try to connect
const LONGEST_WAIT = 4000;
const FINAL_CODES = [4401, 4403, 4406]; // trying again would not help

let socket: WebSocket | undefined;
let wait = SHORTEST_WAIT;
/** Newest measurements of the host's clock: round trip, and host minus own clock, both in s. */
let pings: { roundTrip: number; offset: number }[] = [];

const post = (message: FromWorker, transfer: Transferable[] = []) =>
  self.postMessage(message, { transfer });

/** Seconds on a clock that page and worker share. */
const now = () => (performance.timeOrigin + performance.now()) / 1000;

/** The offset measured with the shortest round trip has the smallest error. */
const offset = () => pings.reduce((best, ping) => (ping.roundTrip < best.roundTrip ? ping : best)).offset;

function open(address: string, token: string, role: string): void {
  socket = new WebSocket(address, SUBPROTOCOL);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    pings = [];
    say({ type: "hello", version: VERSION, token, role });
    ping();
  };
  socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => {
    if (event.data instanceof ArrayBuffer) {
      post({ type: "scene", message: event.data }, [event.data]);
      return;
    }
    const told = JSON.parse(event.data) as Told;
    if (told.type !== "pong") {
      if (told.type === "welcome") wait = SHORTEST_WAIT;
      post({ type: "told", message: told });
      return;
    }
    const roundTrip = now() - told.time;
    pings.push({ roundTrip, offset: told.host - (told.time + roundTrip / 2) });
    if (pings.length > REMEMBERED_PINGS) pings.shift();
    post({ type: "clock", roundTrip });
  };
  socket.onclose = (event) => {
    socket = undefined;
    const final = FINAL_CODES.includes(event.code);
    post({ type: "closed", code: event.code, reason: event.reason, final });
    if (!final) setTimeout(() => open(address, token, role), wait);
    wait = Math.min(2 * wait, LONGEST_WAIT);
  };
}

function say(message: Record<string, unknown>): void {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function ping(): void {
  say({ type: "ping", time: now() });
}

function send(message: ArrayBuffer): void {
  if (socket?.readyState !== WebSocket.OPEN || pings.length === 0) return;
  if (socket.bufferedAmount > 2 * INPUT_SIZE) return;
  const view = new DataView(message);
  view.setFloat64(CAPTURE_AT, view.getFloat64(CAPTURE_AT, true) + offset(), true);
  socket.send(message);
}

setInterval(ping, PING_PERIOD);

self.onmessage = (event: MessageEvent<ToWorker>) => {
  const message = event.data;
  if (message.type === "open") open(message.address, message.token, message.role);
  else if (message.type === "input") send(message.message);
  else say(message.message);
};
