// The participant's page: what to do, the simulation behind it, and the questions.

import { Color, MOUSE, PerspectiveCamera, Scene, Vector3, WebGLRenderer } from "three";
import { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
import { Connection } from "../connection";
import { Desktop } from "../desktop";
import { Feedback } from "../feedback";
import { enterHeadset, Headset, headsetIsThere } from "../headset";
import { Pace } from "../pace";
import { Person } from "../person";
import { InputMessage, type Manifest } from "../protocol";
import { drawnInSoftware } from "../software";
import { World } from "../world";
import { drives, showScreen, StudyBoard, type Screen, type StudyStatus } from "./screen";

const settings = new URLSearchParams(location.hash.slice(1));
const drawing = settings.get("draw") !== "0";
const element = (id: string) => document.getElementById(id)!;

const software = drawnInSoftware();
const canvas = element("view") as HTMLCanvasElement;
const renderer = new WebGLRenderer({ canvas, antialias: !software });
if (!drawing) renderer.xr.setFramebufferScaleFactor(0.05);
renderer.xr.enabled = true;
renderer.xr.setReferenceSpaceType("local-floor");

const scene = new Scene();
scene.background = new Color(0xcfd8e3);
const camera = new PerspectiveCamera(45, 1, 0.02, 30);
const orbit = new OrbitControls(camera, canvas);
orbit.mouseButtons = { LEFT: null, MIDDLE: MOUSE.PAN, RIGHT: MOUSE.ROTATE };
const world = new World(software);
const person = new Person();
const board = new StudyBoard();
scene.add(world, person, board);
scene.visible = drawing;
board.visible = false;

const feedback = new Feedback();
const message = new InputMessage();
const connection = new Connection(onManifest, onChange);
const pace = new Pace(resize, software);
const headset = new Headset(person, () => undefined, () => undefined);
const status = () => connection.status as StudyStatus | undefined;
const screen = (): Screen | undefined => status()?.study;
const report = () => connection.desk(desktop.take(connection.scene?.sequence ?? 0));
const desktop = new Desktop(canvas, camera, () => report(), {}, () => connection.role === "drive" && drives(screen()));
let framed = false;

function onManifest(manifest: Manifest): void {
  world.build(manifest);
  if (framed) return; // whoever looks around keeps their view
  framed = true;
  camera.position.fromArray(manifest.view.position);
  camera.quaternion.fromArray(manifest.view.quaternion);
  orbit.target.copy(camera.position).add(new Vector3(0, 0, -0.8).applyQuaternion(camera.quaternion));
  resize();
}

function onChange(): void {
  const now = status();
  document.body.dataset["role"] = connection.role;
  element("drive").hidden = !connection.online || connection.role === "drive" || now?.driver !== "nobody";
  if (!connection.online || !now) {
    document.body.dataset["screen"] = "connecting";
    element("title").textContent = connection.problem || "connecting …";
    return;
  }
  showScreen(now.study, now, (value) => ask("choose", { value }));
  board.show(now.study, now);
}

/** Asks the host for something that is meant for the screen that is shown. */
function ask(type: string, more: Record<string, unknown> = {}): void {
  connection.say({ type, step: screen()?.step ?? "", ...more });
}

function onFrame(_: number, frame?: XRFrame): void {
  const now = performance.now();
  const shown = connection.scene;
  const space = renderer.xr.getReferenceSpace();
  if (frame && space) {
    message.begin(0, shown?.sequence ?? 0, connection.epoch, (performance.timeOrigin + now) / 1000);
    headset.capture(message, frame, space);
    connection.send(message.copy());
  }
  feedback.feel(shown, frame?.session.inputSources ?? []);
  if (!pace.next(now)) return;
  if (shown) world.show(shown);
  if (!frame) {
    report();
    orbit.update();
  }
  renderer.render(scene, camera);
}

function resize(): void {
  if (renderer.xr.isPresenting) return;
  renderer.setPixelRatio(drawing ? Math.min(devicePixelRatio, 2) * pace.scale : 0.05);
  renderer.setSize(innerWidth, innerHeight, false);
  camera.fov = connection.manifest?.view.fovy ?? 45;
  camera.aspect = innerWidth / innerHeight;
  camera.updateProjectionMatrix();
}

async function enter(): Promise<void> {
  feedback.start();
  await enterHeadset(renderer, connection, person, () => {
    board.visible = false;
    resize();
  });
  board.visible = true;
}

async function offerHeadset(): Promise<void> {
  if (!(await headsetIsThere())) return;
  element("enter").hidden = element("calibrate").hidden = false;
}

addEventListener("resize", resize);
document.addEventListener("visibilitychange", () => {
  if (!renderer.xr.isPresenting) report();
});
addEventListener("pointerdown", () => feedback.start());
addEventListener("keydown", () => feedback.start());
canvas.addEventListener("contextmenu", (event) => event.preventDefault());
element("form").addEventListener("submit", (event) => {
  event.preventDefault();
  ask("confirm");
});
element("back").addEventListener("click", () => ask("back"));
element("enter").addEventListener("click", () => void enter());
element("drive").addEventListener("click", () => connection.ask());
element("calibrate").addEventListener("click", () => connection.say({ type: "calibrate" }));
resize();
connection.open(settings.get("token") ?? "", "drive");
void offerHeadset();
Object.assign(globalThis, { gymGrasp: connection, gymGraspView: { board } }); // for a look from the console
renderer.setAnimationLoop(onFrame);
