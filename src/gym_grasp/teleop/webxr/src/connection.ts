// The page's end of the connection: the newest scene, what was told, and where input goes.

import type { Desk } from "./hand";
import { readScene, type Manifest, type Outcome, type SceneMessage, type Status, type Told } from "./protocol";
import type { FromWorker, ToWorker } from "./worker";

export class Connection {
  scene: SceneMessage | undefined;
  status: Status | undefined;
  manifest: Manifest | undefined;
  role: "drive" | "watch" = "watch";
  epoch = 0;
  online = false;
  roundTrip = 0;
  /** What the host says to this visitor alone about who drives. */
  note = "";
  /** Whether the host still has to answer that this visitor asks to drive. */
  asks = false;
  /** What came of the session, once it is over. */
  over: Outcome | undefined;
  /** Why there is no connection. */
  problem = "";

  private worker = new Worker("/worker.js", { type: "module" });

  constructor(
    private onManifest: (manifest: Manifest) => void,
    private onChange: () => void,
  ) {
    this.worker.onmessage = (event: MessageEvent<FromWorker>) => this.receive(event.data);
  }

  open(token: string, role: "drive" | "watch"): void {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const name = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16)).join("");
    this.post({ type: "open", address: `${scheme}://${location.host}/socket`, token, role, name });
  }

  send(message: ArrayBuffer): void {
    if (this.role === "drive") this.post({ type: "input", message }, [message]);
  }

  /** Tells the hand of mouse and keyboard what is pressed. */
  desk(desk: Desk): void {
    this.post({ type: "desk", desk });
  }

  /** Whether a headset gives the poses, instead of mouse and keyboard. */
  headset(on: boolean): void {
    this.post({ type: "headset", on });
  }

  say(message: Record<string, unknown>): void {
    this.post({ type: "say", message });
  }

  /** Asks to drive. */
  ask(): void {
    if (this.role === "drive" || this.asks) return;
    this.asks = true;
    this.say({ type: "drive" });
    this.onChange();
  }

  private post(message: ToWorker, transfer: Transferable[] = []): void {
    this.worker.postMessage(message, transfer);
  }

  private receive(message: FromWorker): void {
    if (message.type === "scene") {
      this.scene = readScene(message.message);
      return;
    }
    if (message.type === "clock") {
      this.roundTrip = message.roundTrip;
      return;
    }
    if (message.type === "closed") {
      this.online = false;
      this.role = "watch";
      this.asks = false;
      this.problem = message.reason || "the host cannot be reached";
      if (!message.final) this.problem += "; trying again";
    } else {
      this.told(message.message);
    }
    this.onChange();
  }

  private told(message: Told): void {
    if (message.type === "welcome") {
      this.online = true;
      this.over = undefined;
      this.scene = undefined;
      this.manifest = message.scene;
      this.onManifest(message.scene);
    } else if (message.type === "role") {
      this.role = message.role;
      this.epoch = message.epoch;
      this.note = message.note;
      this.asks = message.note === "You asked to drive.";
    } else if (message.type === "status") {
      this.status = message;
      if (!message.asked) this.asks = false;
    } else if (message.type === "over") {
      this.over = message;
    }
  }
}
