// The experimenter's page: how far the participant is, a live view, and what may be asked for.

import { Color, PerspectiveCamera, Scene, WebGLRenderer } from "three";
import { readScene, SUBPROTOCOL, VERSION, type Manifest, type SceneMessage } from "../protocol";
import { drawnInSoftware } from "../software";
import { World } from "../world";
import type { StudyStatus } from "./screen";

interface Overview {
  participant: string;
  step: string;
  condition: string;
  over: boolean;
  paused: boolean;
  running: boolean;
  answered: number;
  items: number;
  steps: { key: string; kind: string; outcome: string; seconds: number | null; attempt: number }[];
  notes: { text: string; time: string }[];
}

type Told =
  | { type: "welcome"; scene: Manifest }
  | ({ type: "status"; overview: Overview } & StudyStatus)
  | { type: "refused"; reason: string }
  | { type: "role" };

const RETRY = 1000; // ms
const FINAL_CODES = [4401, 4403, 4406]; // trying again would not help
const FRAME = 66; // ms between two pictures; the participant's page needs the processor more

const settings = new URLSearchParams(location.hash.slice(1));
const element = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const software = drawnInSoftware();
const canvas = element<HTMLCanvasElement>("view");
const renderer = new WebGLRenderer({ canvas, antialias: !software });
const scene = new Scene();
scene.background = new Color(0xcfd8e3);
const camera = new PerspectiveCamera(45, 4 / 3, 0.02, 30);
const world = new World(software);
scene.add(world);
scene.visible = settings.get("draw") !== "0";

let socket: WebSocket | undefined;
let newest: SceneMessage | undefined;
let overview: Overview | undefined;

function open(): void {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/experimenter`, SUBPROTOCOL);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => say("hello", { version: VERSION, token: settings.get("token") ?? "", role: "watch" });
  socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => {
    if (event.data instanceof ArrayBuffer) newest = readScene(event.data);
    else hear(JSON.parse(event.data) as Told);
  };
  socket.onclose = (event) => {
    const final = FINAL_CODES.includes(event.code);
    document.body.dataset["state"] = "offline";
    element("notice").textContent = `${event.reason || "the host cannot be reached"}${final ? "" : "; trying again"}`;
    if (!final) setTimeout(open, RETRY);
  };
}

function say(type: string, more: Record<string, unknown> = {}): void {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type, ...more }));
}

function hear(told: Told): void {
  if (told.type === "welcome") {
    world.build(told.scene);
    camera.position.fromArray(told.scene.view.position);
    camera.quaternion.fromArray(told.scene.view.quaternion);
    camera.fov = told.scene.view.fovy;
    camera.updateProjectionMatrix();
  } else if (told.type === "refused") {
    element("notice").textContent = told.reason;
  } else if (told.type === "status") {
    show(told, (overview = told.overview));
  }
}

function show(status: StudyStatus, about: Overview): void {
  document.body.dataset["state"] = about.over ? "over" : about.paused ? "paused" : status.state;
  document.body.dataset["step"] = about.step;
  element("participant").textContent = about.participant;
  element("now").textContent = about.over ? "has ended" : about.step;
  element("notice").textContent = about.paused ? "paused" : status.study.note || status.notice;
  element("pause").textContent = about.paused ? "Go on" : "Pause";
  element<HTMLButtonElement>("ready").disabled = status.study.kind !== "practice";
  element<HTMLButtonElement>("fail").disabled = !about.running;
  for (const id of ["pause", "repeat", "abort"]) element<HTMLButtonElement>(id).disabled = about.over;
  figures({
    state: about.paused ? "paused" : status.state,
    condition: about.condition,
    time: `${status.time.toFixed(1)} of ${status.time_limit.toFixed(0)} s`,
    progress: `${Math.round(100 * status.progress)} %`,
    "driven by": status.driver,
    latency: status.latency["input_to_state"] ? `${status.latency["input_to_state"].p50_ms.toFixed(0)} ms` : "–",
    "late ticks": String(status.late + status.skipped),
  });
  const rows = about.steps.map((step) => {
    const row = document.createElement("tr");
    if (step.key === about.step) row.setAttribute("aria-current", "step");
    const seconds = step.seconds === null ? "" : step.seconds.toFixed(1);
    row.append(...[step.key, step.outcome, seconds, step.attempt ? String(step.attempt) : ""].map(cell));
    return row;
  });
  document.querySelector("#steps tbody")!.replaceChildren(...rows);
  element("answers").textContent = `${about.answered} of ${about.items} questions answered`;
  element("notes").replaceChildren(
    ...about.notes.map(({ text, time }) =>
      Object.assign(document.createElement("li"), { textContent: `${time.slice(11, 19)}  ${text}` }),
    ),
  );
}

const cell = (text: string) => Object.assign(document.createElement("td"), { textContent: text });

function figures(values: Record<string, string>): void {
  const parts = Object.entries(values).flatMap(([name, value]) => [
    Object.assign(document.createElement("dt"), { textContent: name }),
    Object.assign(document.createElement("dd"), { textContent: value }),
  ]);
  element("figures").replaceChildren(...parts);
}

/** Takes what is written in the field, with a command that needs a text. */
function withText(type: string): void {
  const field = element<HTMLInputElement>("words");
  say(type, { text: field.value });
  if (field.value.trim()) field.value = "";
}

function draw(): void {
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== width || canvas.height !== height) {
    renderer.setSize(width, height, false);
    camera.aspect = width / Math.max(1, height);
    camera.updateProjectionMatrix();
  }
  if (newest) world.show(newest);
  renderer.render(scene, camera);
}

element("pause").addEventListener("click", () => say("pause", { paused: !overview?.paused }));
for (const id of ["ready", "repeat", "fail"]) element(id).addEventListener("click", () => say(id));
element("mark").addEventListener("click", () => withText("mark"));
element("abort").addEventListener("click", () => {
  if (element<HTMLInputElement>("words").value.trim()) withText("abort");
  else element("notice").textContent = "Write the reason into the field first; the session ends for good.";
});
element("say").addEventListener("submit", (event) => {
  event.preventDefault();
  withText("note");
});
setInterval(draw, FRAME);
open();
