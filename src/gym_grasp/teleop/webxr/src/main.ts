// The page: draws the simulation from the poses that stream in, and sends the operator's hands.

import { Color, Fog, MOUSE, PCFShadowMap, PerspectiveCamera, Scene, Spherical, TOUCH, Vector3, WebGLRenderer } from "three";
import { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
import { Boards } from "./board";
import { Connection } from "./connection";
import { Cues } from "./cues";
import { Desktop } from "./desktop";
import { Feedback } from "./feedback";
import { enterHeadset, Headset, headsetIsThere } from "./headset";
import { Pace } from "./pace";
import { chooseTask, showFingers, showOnPage } from "./panel";
import { Person } from "./person";
import { InputMessage, type Manifest } from "./protocol";
import { drawnInSoftware } from "./software";
import { describe, type Means } from "./words";
import { World } from "./world";

const SKY = 0xcfd8e3;
const LOOK = 0.12; // rad for each press of a key that looks around
const ZOOM = 0.9;
const NARROW = 1.25; // below this ratio of width and height one sees more at the top and bottom instead

const settings = new URLSearchParams(location.hash.slice(1));
const drawing = settings.get("draw") !== "0";
const element = (id: string) => document.getElementById(id)!;

const canvas = element("view") as HTMLCanvasElement;
/** Whether the processor draws: then without what costs most. */
const software = drawnInSoftware();
const renderer = new WebGLRenderer({ canvas, antialias: !software });
if (!drawing) renderer.xr.setFramebufferScaleFactor(0.05);
renderer.xr.enabled = true;
renderer.xr.setReferenceSpaceType("local-floor");
const shadows = settings.has("shadows") ? settings.get("shadows") === "1" : !software;
renderer.shadowMap.enabled = shadows;
renderer.shadowMap.type = PCFShadowMap;

const scene = new Scene();
scene.background = new Color(SKY);
scene.fog = new Fog(SKY, 4, 9);
const camera = new PerspectiveCamera(45, 1, 0.02, 30);
const orbit = new OrbitControls(camera, canvas);
orbit.mouseButtons = { LEFT: null, MIDDLE: MOUSE.PAN, RIGHT: MOUSE.ROTATE };
orbit.touches = { ONE: null, TWO: TOUCH.DOLLY_ROTATE };
const world = new World(software);
world.shadows = shadows;
const boards = new Boards();
const person = new Person();
scene.add(world, boards, person);
scene.visible = drawing;

const feedback = new Feedback();
const cues = new Cues();
const message = new InputMessage();
const connection = new Connection(onManifest, onChange);
const pace = new Pace(resize, software);
const headset = new Headset(person, pass, nextTask);
let touched = matchMedia("(pointer: coarse)").matches;
let shownTask = "";

const actions: Record<string, () => void> = {
  KeyV: () => void enter(),
  KeyT: () => connection.ask(),
  KeyY: () => connection.say({ type: "answer", yes: true }),
  KeyN: () => connection.say({ type: "answer", yes: false }),
  KeyC: () => connection.say({ type: "calibrate" }),
  KeyP: () => chooseTask(connection, switchTo),
  KeyM: changeCues,
  KeyH: () => element("controls").toggleAttribute("open"),
  KeyJ: () => look(-LOOK, 0, 1),
  KeyL: () => look(LOOK, 0, 1),
  KeyI: () => look(0, -LOOK, 1),
  KeyK: () => look(0, LOOK, 1),
  KeyU: () => look(0, 0, ZOOM),
  KeyO: () => look(0, 0, 1 / ZOOM),
};
const report = () => connection.desk(desktop.take(connection.scene?.sequence ?? 0));
const desktop = new Desktop(canvas, camera, () => report(), actions, () => connection.role === "drive");

function means(): Means {
  if (renderer.xr.isPresenting) return headset.means;
  return touched ? "touch" : "keyboard";
}

function onManifest(manifest: Manifest): void {
  world.build(manifest);
  showFingers(manifest);
  if (manifest.task === shownTask) return; // whoever looks around keeps their view
  shownTask = manifest.task;
  camera.position.fromArray(manifest.view.position);
  camera.quaternion.fromArray(manifest.view.quaternion);
  const ahead = new Vector3(0, 0, -manifest.view.distance).applyQuaternion(camera.quaternion);
  orbit.target.copy(camera.position).add(ahead);
  resize();
}

function onChange(): void {
  const words = describe(connection, means());
  showOnPage(connection, words, means());
  boards.show(words, means());
  cues.hear(connection, words);
}

function onFrame(_: number, frame?: XRFrame): void {
  const now = performance.now();
  const shown = connection.scene;
  const space = renderer.xr.getReferenceSpace();
  if (frame && space) {
    message.begin(0, shown?.sequence ?? 0, connection.epoch, (performance.timeOrigin + now) / 1000);
    const before = headset.means;
    headset.capture(message, frame, space);
    connection.send(message.copy());
    if (headset.means !== before) onChange();
  }
  feedback.feel(shown, frame?.session.inputSources ?? []);
  if (!pace.next(now)) return;
  if (shown) world.show(shown);
  if (!frame) {
    report();
    orbit.update();
  }
  boards.visible = renderer.xr.isPresenting;
  renderer.render(scene, camera);
}

function resize(): void {
  if (renderer.xr.isPresenting) return;
  const ratio = drawing ? Math.min(devicePixelRatio, software ? 1 : 2) * pace.scale : 0.05;
  renderer.setPixelRatio(ratio);
  renderer.setSize(innerWidth, innerHeight, false);
  frame();
}

/** Puts what the camera looks at beside the panel, and keeps all of it in a narrow window. */
function frame(): void {
  const [width, height] = [innerWidth, innerHeight];
  camera.aspect = width / height;
  const fov = connection.manifest?.view.fovy ?? 45;
  const half = Math.tan((fov * Math.PI) / 360);
  camera.fov = (360 / Math.PI) * Math.atan(half * Math.max(1, NARROW / camera.aspect));
  const panel = element("panel").getBoundingClientRect();
  const beside = panel.right < 0.5 * width;
  const [x, y] = beside ? [panel.right, 0] : [0, 0.12 * height];
  camera.setViewOffset(width, height, -x / 2, -y / 2, width, height);
}

/** Turns the camera about what it looks at, and comes closer. */
function look(around: number, up: number, nearer: number): void {
  const offset = camera.position.clone().sub(orbit.target);
  const place = new Spherical().setFromVector3(offset);
  place.theta += around;
  place.phi += up;
  place.radius *= nearer;
  camera.position.copy(orbit.target).add(offset.setFromSpherical(place.makeSafe()));
  camera.lookAt(orbit.target);
}

/** Hands the robot over to the one who asks, or asks for it. */
function pass(): void {
  if (connection.role === "drive") connection.say({ type: "answer", yes: true });
  else connection.ask();
}

function switchTo(task: string): void {
  connection.say({ type: "task", task });
}

/** Goes on with the task after the present one, for those who cannot choose from a list. */
function nextTask(): void {
  if (connection.role !== "drive" || connection.status?.state === "engaged") return;
  const tasks = Object.keys(connection.status?.tasks ?? {});
  const next = tasks[(tasks.indexOf(connection.status?.task ?? "") + 1) % tasks.length];
  if (next) switchTo(next);
}

function changeCues(): void {
  cues.change();
  element("heard").textContent = cues.mode;
}

/** The last thing that a page tells before it stops drawing. */
function onHidden(): void {
  if (!renderer.xr.isPresenting) report();
}

async function enter(): Promise<void> {
  if (renderer.xr.isPresenting || !(await headsetIsThere())) return;
  feedback.start();
  await enterHeadset(renderer, connection, person, () => {
    resize();
    onChange();
  });
  onChange();
}

async function offerHeadset(): Promise<void> {
  if (!(await headsetIsThere())) return;
  element("enter").hidden = element("calibrate").hidden = false;
}

addEventListener("resize", resize);
document.addEventListener("visibilitychange", onHidden);
addEventListener("pagehide", () => connection.leave());
addEventListener("pageshow", (event) => event.persisted && location.reload());
addEventListener("pointerdown", (event) => {
  feedback.start();
  if ((event.pointerType === "touch") === touched) return;
  touched = !touched;
  onChange();
});
canvas.addEventListener("contextmenu", (event) => event.preventDefault());
for (const button of document.querySelectorAll<HTMLElement>("[data-action]")) {
  button.addEventListener("click", () => {
    actions[button.dataset["action"]!]!();
    button.blur();
  });
}
element("turn").addEventListener("click", () => element("touch").classList.toggle("turning"));
element("heard").textContent = cues.mode;
resize();
onChange();
connection.open(settings.get("token") ?? "", settings.has("watch") ? "watch" : "drive");
void offerHeadset();
Object.assign(globalThis, { gymGrasp: connection, gymGraspView: { camera, pace, renderer, scene } }); // for a look from the console
renderer.setAnimationLoop(onFrame);
