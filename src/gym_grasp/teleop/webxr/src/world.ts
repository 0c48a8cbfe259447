// The drawn simulation: built once from the host's manifest, moved by every scene.

import {
  AdditiveBlending,
  AmbientLight,
  BoxGeometry,
  BufferAttribute,
  BufferGeometry,
  CanvasTexture,
  CapsuleGeometry,
  Color,
  CylinderGeometry,
  DirectionalLight,
  GridHelper,
  Group,
  HemisphereLight,
  Mesh,
  MeshLambertMaterial,
  MeshStandardMaterial,
  PlaneGeometry,
  SphereGeometry,
  Sprite,
  SpriteMaterial,
  SRGBColorSpace,
} from "three";
import type { Geom, Manifest, SceneMessage } from "./protocol";

const CONTACT = new Color(1, 0.25, 0.05);
const GLOW = 0.07; // m; the light around a fingertip that touches
/** Of the floor: darker than any table, so that its edge is seen. */
const FLOOR = new Color(0x56616e);
const LINES = new Color(0x6a7683);
const SHADOWED = 1.4; // m around the robot's reach
const SHADOW_PIXELS = 2048;

export class World extends Group {
  private bodies: Group[] = [];
  /** What lights up, for each of the robot's fingers. */
  private tips: Material[][] = [];
  private glows: { sprite: Sprite; body: number }[] = [];
  private key = new DirectionalLight(0xffffff, 2.4);
  private hash = "";

  /** @param plain costs little to draw: for processors that have to. */
  constructor(private plain = false) {
    super();
    const { key } = this;
    key.position.set(1.2, 2.8, 0.2);
    key.target.position.set(0.1, 0.9, -0.9);
    const { shadow } = key;
    shadow.mapSize.set(SHADOW_PIXELS, SHADOW_PIXELS);
    Object.assign(shadow.camera, { left: -SHADOWED, right: SHADOWED, top: SHADOWED, bottom: -SHADOWED, near: 0.5, far: 5 });
    shadow.bias = -0.0004;
    shadow.normalBias = 0.004;
    shadow.radius = 3;
    this.add(new AmbientLight(0xffffff, 0.35), new HemisphereLight(0xffffff, 0x8d98a5, 1.0), key, key.target);
  }

  /** Whether things cast shadows; needs a renderer that does them too. */
  set shadows(on: boolean) {
    this.key.castShadow = on;
  }

  build(manifest: Manifest): void {
    if (manifest.hash === this.hash) return;
    this.hash = manifest.hash;
    for (const body of this.bodies) this.remove(body);
    for (const { sprite } of this.glows) this.remove(sprite);
    const fixed = new Group();
    const moving = manifest.bodies.map(() => new Group());
    this.bodies = [...moving, fixed];
    this.add(...this.bodies);
    this.tips = manifest.fingers.map(() => []);
    for (const geom of manifest.geoms) {
      const drawn = mesh(geom, this.plain);
      (moving[geom.body] ?? fixed).add(drawn);
      if (geom.type === "plane") fixed.add(grid(geom));
      manifest.fingers.forEach(({ body }, finger) => {
        if (body >= 0 && body === geom.body) this.tips[finger]!.push(drawn.material);
      });
    }
    this.glows = manifest.fingers.map(({ body }) => ({ sprite: glow(), body }));
    this.add(...this.glows.map(({ sprite }) => sprite));
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
        material.emissiveIntensity = touch > 0.01 ? 0.35 + touch : 0;
      }
      const { sprite, body } = this.glows[finger]!;
      sprite.visible = touch > 0.01 && body >= 0;
      if (!sprite.visible) return;
      sprite.position.copy(this.bodies[body]!.position);
      sprite.scale.setScalar(GLOW * (0.7 + Math.min(1, touch)));
    });
  }
}

type Material = MeshStandardMaterial | MeshLambertMaterial;

function mesh(geom: Geom, plain: boolean): Mesh<BufferGeometry, Material> {
  const [r, g, b, alpha] = geom.colour;
  const material = plain ? new MeshLambertMaterial() : new MeshStandardMaterial();
  material.color.setRGB(r, g, b, SRGBColorSpace);
  if (material instanceof MeshStandardMaterial) material.roughness = 1 - 0.7 * geom.shininess;
  material.opacity = alpha;
  material.transparent = alpha < 1;
  if (geom.type === "plane") material.color.copy(FLOOR);
  const result = new Mesh(shape(geom), material);
  result.castShadow = geom.type !== "plane" && alpha === 1;
  result.receiveShadow = true;
  result.position.fromArray(geom.position);
  result.quaternion.fromArray(geom.quaternion);
  if (geom.type === "ellipsoid") result.scale.fromArray(geom.size);
  return result;
}

/** Lines on the floor, by which one sees how far away things are. */
function grid(geom: Geom): GridHelper {
  const size = 2 * Math.min(geom.size[0] ?? 6, 6);
  const result = new GridHelper(size, 2 * size, LINES, LINES);
  result.position.fromArray(geom.position);
  result.position.y += 0.002;
  return result;
}

/** A soft light around what touches. */
function glow(): Sprite {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 64;
  const pen = canvas.getContext("2d")!;
  const colours = pen.createRadialGradient(32, 32, 2, 32, 32, 32);
  colours.addColorStop(0, "#ff7a33c0");
  colours.addColorStop(1, "#ff3a0000");
  pen.fillStyle = colours;
  pen.fillRect(0, 0, 64, 64);
  const map = new CanvasTexture(canvas);
  const material = new SpriteMaterial({ map, blending: AdditiveBlending, depthTest: false, transparent: true });
  const result = new Sprite(material);
  result.visible = false;
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
