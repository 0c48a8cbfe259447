// What the operator is told: on the page, and on a board in the scene for those inside it.

import { CanvasTexture, Mesh, MeshBasicMaterial, PlaneGeometry, SRGBColorSpace } from "three";
import type { Connection } from "./connection";
import type { Manifest } from "./protocol";

const COLOURS: Record<string, string> = {
  waiting: "#6aa9ff",
  engaged: "#5ad1a5",
  paused: "#f2b84b",
  done: "#c792ea",
  offline: "#f06a6a",
};

const AT_LIMIT = "The robot's hand is at its limit: move yours back.";

interface Texts {
  state: string;
  task: string;
  notice: string;
  progress: number;
  numbers: string;
}

function describe(connection: Connection): Texts {
  const { status } = connection;
  if (!connection.online || !status) {
    return { state: "offline", task: "", notice: connection.problem || "Connecting …", progress: 0, numbers: "" };
  }
  const atLimit = status.state === "engaged" && status.at_limit;
  const watching = connection.role === "watch";
  const latency = status.latency["input_to_shown"] ?? status.latency["input_to_state"];
  const parts = [
    `${status.time.toFixed(1)} of ${status.time_limit.toFixed(0)} s`,
    `${status.kept} kept, ${status.failed} failed`,
    latency && `latency ${latency.p50_ms.toFixed(0)} ms, p99 ${latency.p99_ms.toFixed(0)} ms`,
    `network ${(1000 * connection.roundTrip).toFixed(1)} ms`,
    `${status.late + status.skipped} late ticks`,
  ];
  return {
    state: status.state,
    task: status.task + (watching ? " · watching" : ""),
    notice: (atLimit && AT_LIMIT) || status.guide || status.notice || status.summary,
    progress: Math.min(1, Math.max(0, status.progress)),
    numbers: parts.filter(Boolean).join(" · "),
  };
}

const element = (id: string) => document.getElementById(id)!;

/** Shows the status in the page. */
export function showOnPage(connection: Connection): void {
  const texts = describe(connection);
  document.body.dataset["state"] = texts.state;
  document.body.dataset["role"] = connection.role;
  document.body.dataset["success"] = String(connection.status?.success ?? false);
  element("state").textContent = texts.state;
  element("task").textContent = texts.task;
  element("notice").textContent = texts.notice;
  element("numbers").textContent = texts.numbers;
  element("progress").style.width = `${100 * texts.progress}%`;
  element("drive").hidden = !connection.online || connection.role === "drive" || !!connection.status?.driven;
}

/** Says which digit bends what. */
export function showFingers(manifest: Manifest): void {
  const names = manifest.flexions.map(({ name }, index) => `${index + 1} ${name.replace("_", " ")}`);
  element("fingers").textContent = `F close, G open, ${names.join(", ")}`;
}

/** A board behind the table, read from inside the scene. */
export class Board extends Mesh<PlaneGeometry, MeshBasicMaterial> {
  private canvas = document.createElement("canvas");
  private texture: CanvasTexture;

  constructor() {
    const canvas = document.createElement("canvas");
    canvas.width = 1024;
    canvas.height = 320;
    const texture = new CanvasTexture(canvas);
    texture.colorSpace = SRGBColorSpace;
    super(new PlaneGeometry(0.8, 0.25), new MeshBasicMaterial({ map: texture, transparent: true }));
    this.canvas = canvas;
    this.texture = texture;
    this.position.set(0, 1.48, -1.55);
  }

  show(connection: Connection): void {
    const texts = describe(connection);
    const pen = this.canvas.getContext("2d")!;
    const { width, height } = this.canvas;
    pen.clearRect(0, 0, width, height);
    pen.fillStyle = "#20262ef0";
    pen.beginPath();
    pen.roundRect(0, 0, width, height, 36);
    pen.fill();
    pen.fillStyle = COLOURS[texts.state] ?? "#fff";
    pen.beginPath();
    pen.arc(62, 70, 22, 0, 2 * Math.PI);
    pen.fill();
    pen.font = "600 58px system-ui, sans-serif";
    pen.fillText(texts.state, 104, 90);
    pen.fillStyle = "#e9eef4";
    pen.textAlign = "right";
    pen.font = "40px system-ui, sans-serif";
    pen.fillText(texts.task, width - 40, 88, 480);
    pen.textAlign = "left";
    pen.fillText(texts.notice, 40, 165, width - 80);
    pen.font = "30px system-ui, sans-serif";
    pen.fillStyle = "#e9eef4b0";
    pen.fillText(texts.numbers, 40, 225, width - 80);
    pen.fillStyle = "#ffffff22";
    pen.fillRect(40, 262, width - 80, 18);
    pen.fillStyle = "#5ad1a5";
    pen.fillRect(40, 262, (width - 80) * texts.progress, 18);
    this.texture.needsUpdate = true;
  }
}
