// The drawn simulations: one beside the other, seen by one camera; where a person takes hold.

import {
  Color,
  Group,
  type Mesh,
  MOUSE,
  type Object3D,
  PCFShadowMap,
  PerspectiveCamera,
  Plane,
  Raycaster,
  Scene,
  Vector2,
  Vector3,
  WebGLRenderer,
} from "three";
import { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
import type { Manifest, View } from "../protocol";
import { drawnInSoftware } from "../software";
import { World } from "../world";
import { Overlays, type Shown } from "./overlays";
import type { Seen } from "./wire";

const BACKGROUND = new Color(0xcfd8e3);
/** Frame times, in ms, beyond which pictures get coarser while they move, and below which finer. */
const SLOW = 50;
const FAST = 24;
const COARSEST = 0.3;
const FIRST_PIXELS = 1.2e6; // what the first pictures have at most
const REST = 250; // ms without a change until the picture is drawn as fine as the screen is
const LONGEST = 1000; // ms that this may take; longer after LONG_REST
const LONG_REST = 1500;
const WIDTH = 1.25; // a view narrower than this, relative to its height, shows more at top and bottom; as the host has it

export interface Pull {
  side: number;
  body: number;
  /** Where it is held, in the body's frame. */
  point: Vector3;
  to: Vector3;
}

interface Part {
  scene: Scene;
  world: World;
  overlays: Overlays;
  seen: Seen | undefined;
  felt: { brake: Float32Array; vibration: Float32Array };
}

const NONE = new Float32Array(0);
const UNFELT = { brake: NONE, vibration: NONE };
/** Then without what costs most. */
const software = drawnInSoftware();

export class Stage {
  shown: Shown = { contacts: false, targets: false, frames: false };
  /** Sides whose bodies can be pulled. */
  live: boolean[] = [];
  /** Frames drawn since the page opened. */
  frames = 0;
  private parts: Part[] = [];
  private renderer: WebGLRenderer;
  private camera = new PerspectiveCamera(45, 1, 0.02, 30);
  private orbit: OrbitControls;
  private rays = new Raycaster();
  private pull: { pull: Pull; plane: Plane; pointer: number } | undefined;
  private dirty = true;
  private ratio = 1;
  private last = 0;
  /** Time that a frame takes, in ms; 0: not known. */
  private busy = 0;
  private still = true;
  /** Whether the last picture was finer than those that move. */
  private fine = false;
  private manifest: Manifest | undefined;
  private view: View | undefined;

  constructor(
    private canvas: HTMLCanvasElement,
    private onPull: (pull: Pull | undefined) => void,
  ) {
    this.renderer = new WebGLRenderer({ canvas, antialias: !software });
    this.renderer.shadowMap.enabled = !software;
    this.renderer.shadowMap.type = PCFShadowMap;
    const pixels = Math.max(1, canvas.clientWidth * canvas.clientHeight);
    this.ratio = Math.min(this.finest, Math.sqrt(FIRST_PIXELS / pixels));
    // before the controls hear of it: what is pulled does not turn the view
    canvas.addEventListener("pointerdown", (event) => this.take(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"] as const) {
      canvas.addEventListener(end, (event) => this.release(event));
    }
    this.orbit = new OrbitControls(this.camera, canvas);
    this.orbit.mouseButtons = { LEFT: MOUSE.ROTATE, MIDDLE: MOUSE.PAN, RIGHT: MOUSE.PAN };
    this.orbit.addEventListener("change", () => this.touch());
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.renderer.setAnimationLoop((now) => this.frame(now));
  }

  private get finest(): number {
    return Math.min(devicePixelRatio, 2);
  }

  /** Shows another episode's geometry. */
  build(side: number, manifest: Manifest): void {
    while (this.parts.length <= side) {
      const [scene, world, overlays] = [new Scene(), new World(software), new Overlays()];
      world.shadows = !software;
      scene.background = BACKGROUND;
      scene.add(world, overlays);
      this.parts.push({ scene, world, overlays, seen: undefined, felt: UNFELT });
    }
    this.parts[side]!.world.build(manifest);
    if (!this.manifest) {
      this.manifest = manifest;
      this.look("whole");
    }
    this.touch();
  }

  /** Looks from where all of the scene is seen, or what the hand does. */
  look(from: "whole" | "view"): void {
    this.view = this.manifest?.[from];
    if (!this.view) return;
    this.camera.position.fromArray(this.view.position);
    this.camera.quaternion.fromArray(this.view.quaternion);
    const ahead = new Vector3(0, 0, -this.view.distance).applyQuaternion(this.camera.quaternion);
    this.orbit.target.copy(this.camera.position).add(ahead);
    this.resize();
  }

  show(side: number, seen: Seen, felt: Part["felt"]): void {
    const part = this.parts[side];
    if (!part) return;
    part.seen = seen;
    part.felt = felt;
    this.touch();
  }

  touch(): void {
    this.dirty = true;
  }

  /** Whether the sides stand side by side rather than one above the other. */
  get wide(): boolean {
    return this.canvas.clientWidth >= this.canvas.clientHeight;
  }

  /** What part of the canvas a side has: left, top, width, height, in px. */
  area(side: number): [number, number, number, number] {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const count = Math.max(1, this.parts.length);
    return this.wide
      ? [(side * width) / count, 0, width / count, height]
      : [0, (side * height) / count, width, height / count];
  }

  private resize(): void {
    const { clientWidth, clientHeight } = this.canvas;
    if (!clientWidth || !clientHeight) return;
    this.renderer.setPixelRatio(this.ratio);
    this.renderer.setSize(clientWidth, clientHeight, false);
    const [, , width, height] = this.area(0);
    this.camera.aspect = width / height;
    const fovy = this.view?.fovy ?? 45;
    const half = Math.tan((fovy * Math.PI) / 360) * Math.max(1, WIDTH / this.camera.aspect);
    this.camera.fov = (2 * Math.atan(half) * 180) / Math.PI;
    this.camera.updateProjectionMatrix();
    this.touch();
  }

  private frame(now: number): void {
    this.orbit.update();
    if (this.dirty) {
      this.adapt(now);
      this.draw();
    } else {
      this.still = true;
      const longer = this.busy * (this.finest / this.ratio) ** 2;
      const rest = longer < LONGEST ? REST : LONG_REST;
      if (this.ratio < this.finest && !this.fine && now - this.last > rest) {
        const ratio = this.ratio;
        this.ratio = this.finest;
        this.resize();
        this.draw();
        this.ratio = ratio; // of the next picture that moves
        this.fine = true;
      }
    }
  }

  /** Lets the picture get coarser where drawing it takes too long. */
  private adapt(now: number): void {
    const took = now - this.last;
    this.last = now;
    if (this.fine) this.resize();
    this.fine = false;
    if (this.still) {
      this.still = false;
      return;
    }
    this.busy = this.busy ? 0.8 * this.busy + 0.2 * took : took;
    const wanted = this.busy > SLOW ? Math.max(0.5, Math.sqrt(SLOW / this.busy)) : this.busy < FAST ? 1.2 : 1;
    const ratio = Math.min(this.finest, Math.max(COARSEST, wanted * this.ratio));
    if (Math.abs(ratio - this.ratio) > 0.02) {
      this.ratio = ratio;
      this.busy = 0;
      this.still = true; // a frame that makes new buffers takes longer
      this.resize();
    }
  }

  private draw(): void {
    this.dirty = false;
    this.frames++;
    this.renderer.setScissorTest(true);
    this.parts.forEach(({ scene, world, overlays, seen, felt }, side) => {
      if (seen) {
        const { brake, vibration } = this.shown.contacts ? UNFELT : felt; // arrows say it better than light
        world.show({ sequence: 0, simulated: 0, brake, vibration, poses: seen.poses });
        overlays.show(seen, this.shown);
      }
      const [left, top, width, height] = this.area(side);
      const bottom = this.canvas.clientHeight - top - height;
      this.renderer.setViewport(left, bottom, width, height);
      this.renderer.setScissor(left, bottom, width, height);
      this.renderer.render(scene, this.camera);
    });
  }

  // Pulling --------------------------------------------------------------------------------------

  /** Points the rays at what is under the pointer; returns its side. */
  private aim(event: PointerEvent, fixed?: number): number {
    const { left, top } = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - left, event.clientY - top];
    const sides = this.parts.map((_, side) => this.area(side));
    const under = sides.findIndex(([l, t, w, h]) => x >= l && x < l + w && y >= t && y < t + h);
    const side = fixed ?? Math.max(0, under);
    const [l, t, w, h] = this.area(side);
    this.rays.setFromCamera(new Vector2((2 * (x - l)) / w - 1, 1 - (2 * (y - t)) / h), this.camera);
    return side;
  }

  private take(event: PointerEvent): void {
    if (event.button !== 0 || this.pull) return;
    const side = this.aim(event);
    const part = this.parts[side];
    if (!part?.seen || !this.live[side]) return;
    part.world.updateMatrixWorld();
    const bodies = bodiesOf(part.world);
    const meshes: Object3D[] = [];
    for (const one of bodies) one.traverse((child) => (child as Mesh).isMesh && meshes.push(child));
    const hit = this.rays.intersectObjects(meshes, false)[0];
    let body: Object3D | undefined;
    hit?.object.traverseAncestors((one) => {
      if (bodies.includes(one)) body = one;
    });
    const index = body ? bodies.indexOf(body) : -1;
    if (!hit || !body || index < 0 || 7 * index >= part.seen.poses.length) return; // fixed ones come last
    const plane = new Plane().setFromNormalAndCoplanarPoint(this.camera.getWorldDirection(new Vector3()), hit.point);
    const pull = { side, body: index, point: body.worldToLocal(hit.point.clone()), to: hit.point };
    this.pull = { pull, plane, pointer: event.pointerId };
    this.orbit.enabled = false;
    this.canvas.setPointerCapture(event.pointerId);
    this.tell();
  }

  private move(event: PointerEvent): void {
    if (!this.pull || event.pointerId !== this.pull.pointer) return;
    this.aim(event, this.pull.pull.side);
    if (this.rays.ray.intersectPlane(this.pull.plane, this.pull.pull.to)) this.tell();
  }

  private release(event: PointerEvent): void {
    if (!this.pull || event.pointerId !== this.pull.pointer) return;
    this.parts[this.pull.pull.side]?.overlays.pull(undefined);
    this.pull = undefined;
    this.orbit.enabled = true;
    this.onPull(undefined);
    this.touch();
  }

  private tell(): void {
    const { pull } = this.pull!;
    this.onPull(pull);
    this.drawPull(pull);
  }

  private drawPull({ side, body, point, to }: Pull): void {
    const part = this.parts[side]!;
    const held = bodiesOf(part.world)[body];
    if (held) part.overlays.pull(held.localToWorld(point.clone()), to);
    this.touch();
  }
}

/** The groups that a scene's poses move, in their order, and then what does not move. */
function bodiesOf(world: World): Object3D[] {
  return world.children.filter((child) => child instanceof Group);
}
