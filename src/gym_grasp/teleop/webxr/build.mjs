// Bundles the pages into dist/: a script each and the worker, no addresses of other hosts.
import { build } from "esbuild";
import { cp, rm } from "node:fs/promises";

await rm("dist", { recursive: true, force: true });
await build({
  entryPoints: {
    main: "src/main.ts",
    view: "src/view/main.ts",
    participant: "src/study/participant.ts",
    experimenter: "src/study/experimenter.ts",
    worker: "src/worker.ts",
  },
  outdir: "dist",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
});
await cp("public", "dist", { recursive: true });
await cp("node_modules/three/LICENSE", "dist/three-LICENSE.txt");
