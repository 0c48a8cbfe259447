// Whether the processor draws, since there is no GPU.

export function drawnInSoftware(): boolean {
  const context = document.createElement("canvas").getContext("webgl2");
  const names = context?.getExtension("WEBGL_debug_renderer_info");
  const name = String(context?.getParameter(names?.UNMASKED_RENDERER_WEBGL ?? context.RENDERER));
  context?.getExtension("WEBGL_lose_context")?.loseContext();
  return /swiftshader|llvmpipe|softpipe|software/i.test(name);
}
