// The page: draws the simulation from the poses that stream in, and sends the operator's hands.

import {
  Color,
  InstancedMesh,
  Matrix4,
  MeshStandardMaterial,
  MOUSE,
  PerspectiveCamera,
  Quaternion,
  Scene,
  SphereGeometry,
  Vector3,
  WebGLRenderer,
} from "three";
import { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
import { Connection } from "./connection";
import { DesktopHand } from "./desktop";
import { Feedback } from "./feedback";
import { captureHeadset } from "./headset";
import { Board, showFingers, showOnPage } from "./panel";
import { Flag, InputMessage, JOINTS, type Manifest } from "./protocol";
import { World } from "./world";

const settings = new URLSearchParams(location.hash.slice(1));
const drawing = settings.get("draw") !== "0";

const canvas = document.getElementById("view") as HTMLCanvasElement;
const renderer = new WebGLRenderer({ canvas, antialias: true });
renderer.setPixelRatio(drawing ? Math.min(devicePixelRatio, 2) : 0.05);
if (!drawing) renderer.xr.setFramebufferScaleFactor(0.05);
renderer.xr.enabled = true;
renderer.xr.setReferenceSpaceType("local-floor");

const scene = new Scene();
scene.background = new Color(0xcfd8e3);
const camera = new PerspectiveCamera(45, 1, 0.02, 30);
const orbit = new OrbitControls(camera, canvas);
orbit.mouseButtons = { LEFT: null, MIDDLE: MOUSE.PAN, RIGHT: MOUSE.ROTATE };
const world = new World();
const board = new Board();
const joints = new InstancedMesh(
  new SphereGeometry(1, 10, 8),
  new MeshStandardMaterial({ color: 0x5ad1a5, transparent: true, opacity: 0.55 }),
  2 * JOINTS,
);
joints.frustumCulled = false;
const NOWHERE = new Matrix4().makeScale(0, 0, 0);
scene.add(world, board, joints);
scene.visible = drawing;

const desktop = new DesktopHand(canvas, camera);
const feedback = new Feedback();
const message = new InputMessage();
const connection = new Connection(onManifest, onChange);
let lastFrame = performance.now();

function onManifest(manifest: Manifest): void {
  world.build(manifest);
  desktop.begin(manifest);
  showFingers(manifest);
  camera.position.fromArray(manifest.view.position);
  camera.quaternion.fromArray(manifest.view.quaternion);
  camera.fov = manifest.view.fovy;
  const ahead = new Vector3(0, 0, -0.8).applyQuaternion(camera.quaternion);
  orbit.target.copy(camera.position).add(ahead);
  resize();
}

function onChange(): void {
  showOnPage(connection);
  board.show(connection);
}

function onJoint(side: number, index: number, pose: XRJointPose | undefined): void {
  const matrix = pose
    ? new Matrix4().compose(
        new Vector3().copy(pose.transform.position),
        new Quaternion(),
        new Vector3().setScalar(Math.max(0.004, pose.radius ?? 0.008)),
      )
    : NOWHERE;
  joints.setMatrixAt(side * JOINTS + index, matrix);
  joints.instanceMatrix.needsUpdate = true;
}

function onFrame(_: number, frame?: XRFrame): void {
  const now = performance.now();
  const shown = connection.scene;
  message.begin(0, shown?.sequence ?? 0, connection.epoch, (performance.timeOrigin + now) / 1000);
  const space = renderer.xr.getReferenceSpace();
  if (frame && space) {
    captureHeadset(message, frame, space, onJoint);
  } else {
    if (!document.hidden) message.addFlags(Flag.visible);
    desktop.capture(message, Math.min(0.1, (now - lastFrame) / 1000));
  }
  lastFrame = now;
  connection.send(message.copy());
  if (shown) world.show(shown);
  feedback.feel(shown, frame?.session.inputSources ?? []);
  if (!frame) orbit.update();
  renderer.render(scene, camera);
}

/** The last thing that a page sends before it stops drawing. */
function onHidden(): void {
  if (!document.hidden || renderer.xr.isPresenting) return;
  message.begin(0, 0, connection.epoch, (performance.timeOrigin + performance.now()) / 1000);
  connection.send(message.copy());
}

function resize(): void {
  if (renderer.xr.isPresenting) return;
  renderer.setSize(innerWidth, innerHeight, false);
  camera.aspect = innerWidth / innerHeight;
  camera.updateProjectionMatrix();
}

async function enter(): Promise<void> {
  feedback.start();
  const session = await navigator.xr!.requestSession("immersive-vr", {
    requiredFeatures: ["local-floor"],
    optionalFeatures: ["hand-tracking"],
  });
  session.addEventListener("end", () => {
    for (let i = 0; i < 2 * JOINTS; i++) joints.setMatrixAt(i, NOWHERE);
    resize();
  });
  await renderer.xr.setSession(session);
}

async function offerHeadset(): Promise<void> {
  const button = document.getElementById("enter")!;
  if (await navigator.xr?.isSessionSupported("immersive-vr")) {
    button.hidden = false;
    button.addEventListener("click", () => void enter());
    document.getElementById("calibrate")!.hidden = false;
  }
}

for (let i = 0; i < 2 * JOINTS; i++) joints.setMatrixAt(i, NOWHERE);
addEventListener("resize", resize);
document.addEventListener("visibilitychange", onHidden);
canvas.addEventListener("pointerdown", () => feedback.start());
canvas.addEventListener("contextmenu", (event) => event.preventDefault());
document.getElementById("drive")!.addEventListener("click", () => connection.say({ type: "drive" }));
document.getElementById("calibrate")!.addEventListener("click", () => connection.say({ type: "calibrate" }));
resize();
onChange();
connection.open(settings.get("token") ?? "", settings.has("watch") ? "watch" : "drive");
void offerHeadset();
Object.assign(globalThis, { gymGrasp: connection }); // for a look from the browser's console
renderer.setAnimationLoop(onFrame);
