// The connection to the host that shows; it is made again when it breaks.

import { SUBPROTOCOL, VERSION } from "../protocol";
import { readBinary, type Asked, type Moment, type Rows, type Told } from "./wire";

const SHORTEST_WAIT = 250; // ms, until the next try to connect
const LONGEST_WAIT = 4000;
const FINAL_CODES = [4401, 4403, 4406]; // trying again would not help

export class Connection {
  private socket: WebSocket | undefined;
  private wait = SHORTEST_WAIT;

  constructor(
    private token: string,
    private onTold: (told: Told | Moment | Rows) => void,
    private onClosed: (reason: string) => void,
  ) {
    this.open();
  }

  ask(message: Asked): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  private open(): void {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/socket`, SUBPROTOCOL);
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      socket.send(JSON.stringify({ type: "hello", version: VERSION, token: this.token, role: "watch" }));
    };
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      const told = data instanceof ArrayBuffer ? readBinary(data) : (JSON.parse(data) as Told);
      if (told.type === "welcome") this.wait = SHORTEST_WAIT;
      this.onTold(told);
    };
    socket.onclose = ({ code, reason }) => {
      const final = FINAL_CODES.includes(code);
      const why = reason || "the host cannot be reached";
      this.onClosed(final ? why : `${why}; trying again`);
      if (!final) setTimeout(() => this.open(), this.wait);
      this.wait = Math.min(2 * this.wait, LONGEST_WAIT);
    };
  }
}
