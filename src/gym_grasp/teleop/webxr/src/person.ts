// The operator's own hands, as they are tracked: fingers and palm, or the controllers they hold.

import {
  CapsuleGeometry,
  CylinderGeometry,
  Group,
  InstancedMesh,
  Matrix4,
  Mesh,
  MeshStandardMaterial,
  Quaternion,
  SphereGeometry,
  TorusGeometry,
  Vector3,
} from "three";
import { JOINTS } from "./protocol";

/** The bones between WebXR's joints: wrist, four of the thumb, five of each finger. */
const BONES: [number, number][] = [
  [1, 2], [2, 3], [3, 4],
  ...[5, 10, 15, 20].flatMap((first): [number, number][] =>
    [0, 1, 2, 3].map((bone) => [first + bone, first + bone + 1]),
  ),
  [0, 1], [0, 5], [0, 10], [0, 15], [0, 20], [6, 11], [11, 16], [16, 21], [2, 6],
];
const SKIN = new MeshStandardMaterial({ color: 0xd6a184, roughness: 0.75 });
const GRIP = new MeshStandardMaterial({ color: 0x2b3138, roughness: 0.5 });
const ACCENT = new MeshStandardMaterial({ color: 0x5ad1a5, roughness: 0.4 });
const THINNEST = 0.006; // m; what a joint without a radius gets
const UP = new Vector3(0, 1, 0);
const NOWHERE = new Matrix4().makeScale(0, 0, 0);

class DrawnHand extends Group {
  private points = Array.from({ length: JOINTS }, () => new Vector3());
  private radii = new Float32Array(JOINTS);
  private knuckles = new InstancedMesh(new SphereGeometry(1, 14, 10), SKIN, JOINTS);
  private bones = new InstancedMesh(new CylinderGeometry(1, 1, 1, 14, 1, true), SKIN, BONES.length);
  private palm = new Mesh(new SphereGeometry(1, 20, 14), SKIN);

  constructor() {
    super();
    for (const mesh of [this.knuckles, this.bones]) mesh.frustumCulled = false;
    for (const mesh of [this.knuckles, this.bones, this.palm]) mesh.castShadow = true;
    this.add(this.knuckles, this.bones, this.palm);
    this.visible = false;
  }

  joint(index: number, pose: XRJointPose | undefined): void {
    this.radii[index] = pose ? Math.max(THINNEST, pose.radius ?? 0) : 0;
    if (pose) this.points[index]!.copy(pose.transform.position as unknown as Vector3);
  }

  /** Puts everything where the joints are. */
  shape(): void {
    const { points, radii } = this;
    this.visible = radii.some((radius) => radius > 0);
    const turn = new Quaternion();
    const matrix = new Matrix4();
    points.forEach((point, index) => {
      const size = new Vector3().setScalar(radii[index]!);
      this.knuckles.setMatrixAt(index, matrix.compose(point, turn.identity(), size));
    });
    BONES.forEach(([from, to], index) => {
      const [a, b] = [points[from]!, points[to]!];
      const along = new Vector3().subVectors(b, a);
      const length = along.length();
      const radius = Math.min(radii[from]!, radii[to]!);
      const seen = radius > 0 && length > 0.001;
      if (seen) turn.setFromUnitVectors(UP, along.divideScalar(length));
      const middle = new Vector3().addVectors(a, b).multiplyScalar(0.5);
      this.bones.setMatrixAt(index, seen ? matrix.compose(middle, turn, new Vector3(radius, length, radius)) : NOWHERE);
    });
    this.knuckles.instanceMatrix.needsUpdate = this.bones.instanceMatrix.needsUpdate = true;
    this.spread();
  }

  /** The palm lies between the wrist and the knuckles of index and little finger. */
  private spread(): void {
    const [wrist, index, little] = [this.points[0]!, this.points[6]!, this.points[21]!];
    this.palm.visible = [0, 6, 21].every((joint) => this.radii[joint]! > 0);
    const knuckles = new Vector3().addVectors(index, little).multiplyScalar(0.5);
    const along = new Vector3().subVectors(knuckles, wrist);
    const across = new Vector3().subVectors(little, index);
    const size = new Vector3(0.62 * across.length(), 0.014, 0.58 * along.length());
    const out = new Vector3().crossVectors(along, across).normalize();
    const z = along.clone().normalize();
    const x = new Vector3().crossVectors(out, z).normalize();
    const turn = new Matrix4().makeBasis(x, out, z);
    this.palm.position.addVectors(wrist, knuckles).multiplyScalar(0.5);
    this.palm.quaternion.setFromRotationMatrix(turn);
    this.palm.scale.copy(size);
  }
}

/** A handle with a ring, in WebXR's grip space: z runs along the handle, towards the body. */
class DrawnController extends Group {
  constructor() {
    super();
    const handle = new Mesh(new CapsuleGeometry(0.017, 0.09, 6, 14).rotateX(Math.PI / 2), GRIP);
    const head = new Mesh(new SphereGeometry(0.026, 16, 12), GRIP);
    head.position.set(0, 0.012, -0.055);
    const ring = new Mesh(new TorusGeometry(0.04, 0.005, 8, 28).rotateX(Math.PI / 2.6), ACCENT);
    ring.position.set(0, 0.012, -0.062);
    for (const part of [handle, head, ring]) part.castShadow = true;
    this.add(handle, head, ring);
    this.visible = false;
  }
}

export class Person extends Group {
  private hands = [new DrawnHand(), new DrawnHand()];
  private held = [new DrawnController(), new DrawnController()];

  constructor() {
    super();
    this.add(...this.hands, ...this.held);
  }

  joint(side: number, index: number, pose: XRJointPose | undefined): void {
    this.hands[side]!.joint(index, pose);
  }

  controller(side: number, pose: XRPose): void {
    const held = this.held[side]!;
    held.visible = true;
    held.position.copy(pose.transform.position as unknown as Vector3);
    held.quaternion.copy(pose.transform.orientation as unknown as Quaternion);
  }

  /** Forgets both sides; what is tracked in this frame is told next. */
  begin(): void {
    for (const held of this.held) held.visible = false;
    for (const hand of this.hands) for (let index = 0; index < JOINTS; index++) hand.joint(index, undefined);
  }

  end(): void {
    for (const hand of this.hands) hand.shape();
  }
}
