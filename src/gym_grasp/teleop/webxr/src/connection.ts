// The page's end of the connection: the newest scene, what was told, and where input goes.

import { readScene, type Manifest, type SceneMessage, type Status, type Told } from "./protocol";
import type { FromWorker, ToWorker } from "./worker";

export class Connection {
  scene: SceneMessage | undefined;
  status: Status | undefined;
  manifest: Manifest | undefined;
  role: "drive" | "watch" = "watch";
  epoch = 0;
  online = false;
  roundTrip = 0;
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
    this.post({ type: "open", address: `${scheme}://${location.host}/socket`, token, role });
  }

  send(message: ArrayBuffer): void {
    if (this.role === "drive") this.post({ type: "input", message }, [message]);
  }

  say(message: Record<string, unknown>): void {
    this.post({ type: "say", message });
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
      this.scene = undefined;
      this.manifest = message.scene;
      this.onManifest(message.scene);
    } else if (message.type === "role") {
      this.role = message.role;
      this.epoch = message.epoch;
    } else if (message.type === "status") {
      this.status = message;
    }
  }
}
