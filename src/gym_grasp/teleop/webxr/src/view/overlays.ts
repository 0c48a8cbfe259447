// What is drawn on demand: contact forces, targets, frames, and where a person pulls.

import {
  Color,
  ConeGeometry,
  CylinderGeometry,
  Group,
  InstancedMesh,
  Matrix4,
  MeshBasicMaterial,
  Quaternion,
  Vector3,
} from "three";
import type { Seen } from "./wire";

const MOST_ARROWS = 96;
const MOST_FRAMES = 128;
const LENGTH_PER_NEWTON = 0.006; // m
const LONGEST = 0.25;
const UP = new Vector3(0, 1, 0);

function bar(colour: number, count: number): InstancedMesh {
  const geometry = new CylinderGeometry(1, 1, 1, 8).translate(0, 0.5, 0);
  return instances(geometry, colour, count);
}

function instances(geometry: CylinderGeometry, colour: number, count: number): InstancedMesh {
  // in front of everything, since contacts lie inside of what touches
  const material = new MeshBasicMaterial({ color: new Color(colour), depthTest: false, transparent: true });
  const mesh = new InstancedMesh(geometry, material, count);
  mesh.frustumCulled = false;
  mesh.renderOrder = 1;
  mesh.count = 0;
  return mesh;
}

/** Arrows, each from a point along a vector. */
class Arrows extends Group {
  private shafts: InstancedMesh;
  private heads: InstancedMesh;
  private made = new Matrix4();

  constructor(colour: number, count: number, private radius: number) {
    super();
    this.shafts = bar(colour, count);
    this.heads = instances(new ConeGeometry(1, 1, 10).translate(0, 0.5, 0), colour, count);
    this.add(this.shafts, this.heads);
  }

  begin(): void {
    this.shafts.count = this.heads.count = 0;
  }

  arrow(from: Vector3, way: Vector3): void {
    const index = this.shafts.count;
    const length = way.length();
    if (length < 1e-6) return;
    const turn = new Quaternion().setFromUnitVectors(UP, way.clone().divideScalar(length));
    const head = Math.min(0.5 * length, 4 * this.radius);
    const size = new Vector3(this.radius, length - head, this.radius);
    this.shafts.setMatrixAt(index, this.made.compose(from, turn, size));
    const neck = from.clone().addScaledVector(way, 1 - head / length);
    size.set(2.2 * this.radius, head, 2.2 * this.radius);
    this.heads.setMatrixAt(index, this.made.compose(neck, turn, size));
    this.shafts.count = this.heads.count = index + 1;
    this.shafts.instanceMatrix.needsUpdate = this.heads.instanceMatrix.needsUpdate = true;
  }
}

/** Axes: x red, y green, z blue. */
class Frames extends Group {
  private bars: InstancedMesh[];
  private made = new Matrix4();
  private turns = [
    new Quaternion().setFromUnitVectors(UP, new Vector3(1, 0, 0)),
    new Quaternion(),
    new Quaternion().setFromUnitVectors(UP, new Vector3(0, 0, 1)),
  ];

  constructor(count: number, private length: number, private radius: number) {
    super();
    this.bars = [0xff5a52, 0x4fd06a, 0x5aa2ff].map((colour) => bar(colour, count));
    this.add(...this.bars);
  }

  show(poses: Float32Array): void {
    const [place, turn] = [new Vector3(), new Quaternion()];
    const size = new Vector3(this.radius, this.length, this.radius);
    const count = Math.min(MOST_FRAMES, poses.length / 7);
    this.bars.forEach((bars, axis) => {
      bars.count = count;
      for (let index = 0; index < count; index++) {
        place.fromArray(poses, 7 * index);
        turn.fromArray(poses, 7 * index + 3).multiply(this.turns[axis]!);
        bars.setMatrixAt(index, this.made.compose(place, turn, size));
      }
      bars.instanceMatrix.needsUpdate = true;
    });
  }
}

export interface Shown {
  contacts: boolean;
  targets: boolean;
  frames: boolean;
}

export class Overlays extends Group {
  private contacts = new Arrows(0xff7a1a, MOST_ARROWS, 0.0025);
  private target = new Frames(1, 0.12, 0.004);
  private frames = new Frames(MOST_FRAMES, 0.05, 0.0015);
  private pulled = new Arrows(0xe83fd0, 1, 0.004);

  constructor() {
    super();
    this.add(this.contacts, this.target, this.frames, this.pulled);
  }

  show(seen: Seen, shown: Shown): void {
    this.contacts.visible = shown.contacts;
    this.target.visible = shown.targets;
    this.frames.visible = shown.frames;
    if (shown.frames) this.frames.show(seen.poses);
    if (shown.targets) this.target.show(seen.target);
    if (!shown.contacts) return;
    this.contacts.begin();
    const [point, force] = [new Vector3(), new Vector3()];
    for (let at = 0; at < seen.contacts.length; at += 6) {
      point.fromArray(seen.contacts, at);
      force.fromArray(seen.contacts, at + 3);
      const size = force.length();
      force.multiplyScalar(Math.min(LONGEST, LENGTH_PER_NEWTON * size + 0.01) / Math.max(1e-9, size));
      this.contacts.arrow(point, force);
    }
  }

  pull(from: Vector3 | undefined, to?: Vector3): void {
    this.pulled.begin();
    if (from && to) this.pulled.arrow(from, to.clone().sub(from));
  }
}
