// A moment in the page's address: #token=…&episode=3&t=4.2, or with seed=7 where none is recorded.

export interface Link {
  episode?: number;
  seed?: string;
  /** In s. */
  t?: number;
}

export function readLink(hash: string): Link {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const link: Link = {};
  const episode = given.get("episode");
  if (episode && /^\d{1,9}$/.test(episode)) link.episode = Number(episode);
  const seed = given.get("seed");
  if (seed && /^\d{1,19}$/.test(seed)) link.seed = seed;
  const t = given.get("t");
  if (t && /^\d+(\.\d*)?$/.test(t)) link.t = Number(t);
  return link;
}

/** The address with another moment in it; whatever else it says stays. */
export function withLink(hash: string, link: Link): string {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  for (const name of ["episode", "seed", "t"]) given.delete(name);
  if (link.episode !== undefined) given.set("episode", String(link.episode));
  if (link.seed !== undefined) given.set("seed", link.seed);
  if (link.t !== undefined) given.set("t", link.t.toFixed(2).replace(/\.?0+$/, ""));
  return `#${given}`;
}
