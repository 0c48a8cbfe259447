// A surface that costs next to nothing a pixel, for processors that have to draw: lit by vertices.

import { Color, ShaderMaterial } from "three";

const VERTEX = `
uniform vec3 colour;
uniform vec3 emissive;
varying vec3 shade;
void main() {
  vec3 n = normalize(mat3(modelMatrix) * normal);
  float sun = max(0.0, dot(n, normalize(vec3(0.33, 0.58, 0.33))));
  vec3 light = mix(vec3(0.40, 0.43, 0.47), vec3(0.62), 0.5 + 0.5 * n.y) + 0.5 * sun;
  shade = pow(min(vec3(1.0), colour * light + emissive), vec3(1.0 / 2.2));
  gl_Position = projectionMatrix * modelViewMatrix * vec4(position, 1.0);
}`;
const FRAGMENT = `
uniform float opacity;
varying vec3 shade;
void main() {
  gl_FragColor = vec4(shade, opacity);
}`;

export class PlainMaterial extends ShaderMaterial {
  readonly color = new Color();
  readonly emissive = new Color(0);
  private readonly lit = new Color(0);

  constructor() {
    super({ vertexShader: VERTEX, fragmentShader: FRAGMENT });
    this.uniforms = { colour: { value: this.color }, emissive: { value: this.lit }, opacity: { value: 1 } };
  }

  set emissiveIntensity(intensity: number) {
    this.lit.copy(this.emissive).multiplyScalar(intensity);
  }

  override onBeforeRender(): void {
    this.uniforms["opacity"]!.value = this.opacity;
  }
}
