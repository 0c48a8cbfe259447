// Which frames are drawn, and how finely: where drawing is slow, input is still taken often.

const SLOW = 50; // ms a frame; below 20 frames a second
const FAST = 24; // ms; finer drawing is tried again
const SMOOTH = 0.15; // share of the newest frame in the mean
const SETTLE = 20; // drawn frames between two changes
const SCALES = [1, 0.75, 0.5, 0.35];

export class Pace {
  /** Share of the full resolution. */
  scale = 1;
  /** Drawn frames a second. */
  rate = 0;
  private cost = 16; // ms from a drawn frame to the next one
  private last = -Infinity;
  private drawn = -Infinity;
  private drew = false;
  private settled = -SETTLE; // the first frames compile shaders
  private patience = 5 * SETTLE;

  constructor(private onScale: (scale: number) => void) {}

  /** Returns whether a frame that begins now [ms] should be drawn. */
  next(now: number): boolean {
    const passed = now - this.last;
    this.last = now;
    if (this.drew && passed < 2000) this.cost += SMOOTH * (passed - this.cost);
    // where drawing takes long, every other moment is left to poses alone
    this.drew = this.cost < SLOW || now - this.drawn >= 1.5 * this.cost;
    if (this.drew) {
      const pause = now - this.drawn;
      if (pause < 2000) this.rate += SMOOTH * (1000 / Math.max(1, pause) - this.rate);
      this.drawn = now;
      this.adapt();
    }
    return this.drew;
  }

  private adapt(): void {
    this.settled++;
    const index = SCALES.indexOf(this.scale);
    if (this.cost > SLOW && this.settled > SETTLE) this.change(SCALES[index + 1]);
    else if (this.cost < FAST && this.settled > this.patience) {
      this.patience *= 2; // what was too slow before is tried ever less often
      this.change(SCALES[index - 1]);
    }
  }

  private change(scale: number | undefined): void {
    this.settled = 0;
    if (scale === undefined) return;
    this.scale = scale;
    this.onScale(scale);
  }
}
