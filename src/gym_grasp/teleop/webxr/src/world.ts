// The drawn simulation: built once from the host's manifest, moved by every scene.

import {
  AmbientLight,
  BoxGeometry,
  BufferAttribute,
  BufferGeometry,
  CapsuleGeometry,
  Color,
  CylinderGeometry,
  DirectionalLight,
  Group,
  HemisphereLight,
  Mesh,
  MeshStandardMaterial,
  PlaneGeometry,
  SphereGeometry,
  SRGBColorSpace,
} from "three";
import type { Geom, Manifest, SceneMessage } from "./protocol";

const CONTACT = new Color(1, 0.25, 0.05);

export class World extends Group {
  private bodies: Group[] = [];
  /** What lights up, for each of the robot's fingers. */
  private tips: MeshStandardMaterial[][] = [];
  private hash = "";

  constructor() {
    super();
    const key = new DirectionalLight(0xffffff, 2.0);
    key.position.set(1.2, 2.6, 0.4);
    this.add(new AmbientLight(0xffffff, 0.5), new HemisphereLight(0xffffff, 0x9aa4b0, 1.1), key);
  }

  build(manifest: Manifest): void {
    if (manifest.hash === this.hash) return;
    this.hash = manifest.hash;
    for (const body of this.bodies) this.remove(body);
    const fixed = new Group();
    const moving = manifest.bodies.map(() => new Group());
    this.bodies = [...moving, fixed];
    this.add(...this.bodies);
    this.tips = manifest.fingers.map(() => []);
    for (const geom of manifest.geoms) {
      const drawn = mesh(geom);
      (moving[geom.body] ?? fixed).add(drawn);
      manifest.fingers.forEach(({ body }, finger) => {
        if (body >= 0 && body === geom.body) this.tips[finger]!.push(drawn.material);
      });
    }
  }

  show(scene: SceneMessage): void {
    const { poses } = scene;
    for (let i = 0; 7 * i < poses.length; i++) {
      const body = this.bodies[i];
      body?.position.fromArray(poses, 7 * i);
      body?.quaternion.fromArray(poses, 7 * i + 3);
    }
    this.tips.forEach((materials, finger) => {
      const touch = Math.max(scene.brake[finger] ?? 0, scene.vibration[finger] ?? 0);
      for (const material of materials) {
        material.emissive.copy(CONTACT);
        material.emissiveIntensity = touch > 0.01 ? 0.25 + touch : 0;
      }
    });
  }
}

function mesh(geom: Geom): Mesh<BufferGeometry, MeshStandardMaterial> {
  const [r, g, b, alpha] = geom.colour;
  const material = new MeshStandardMaterial();
  material.color.setRGB(r, g, b, SRGBColorSpace);
  material.roughness = 1 - 0.7 * geom.shininess;
  material.opacity = alpha;
  material.transparent = alpha < 1;
  const result = new Mesh(shape(geom), material);
  result.position.fromArray(geom.position);
  result.quaternion.fromArray(geom.quaternion);
  if (geom.type === "ellipsoid") result.scale.fromArray(geom.size);
  return result;
}

/** MuJoCo's long axis is z, three's is y. */
function shape(geom: Geom): BufferGeometry {
  const [a = 0, b = 0, c = 0] = geom.size;
  switch (geom.type) {
    case "plane":
      return new PlaneGeometry(2 * a, 2 * b);
    case "sphere":
      return new SphereGeometry(a, 24, 16);
    case "ellipsoid":
      return new SphereGeometry(1, 24, 16);
    case "capsule":
      return new CapsuleGeometry(a, 2 * b, 8, 20).rotateX(Math.PI / 2);
    case "cylinder":
      return new CylinderGeometry(a, a, 2 * b, 28).rotateX(Math.PI / 2);
    case "box":
      return new BoxGeometry(2 * a, 2 * b, 2 * c);
    case "mesh": {
      const result = new BufferGeometry();
      result.setAttribute("position", new BufferAttribute(new Float32Array(geom.vertices ?? []), 3));
      result.setIndex(geom.faces ?? []);
      result.computeVertexNormals();
      return result;
    }
  }
}
