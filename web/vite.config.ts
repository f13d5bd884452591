/** How is the console built? Into the coordinator's package, with hashed names, and compressed beside. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

const OUT = process.env.SEPTUM_WEB_OUT ?? "../src/septum/coordinator/console";
const PROGRAM = join(import.meta.dirname, "src/main.tsx");
const PACKED = /\.(js|css|svg)$/;
const COORDINATOR = process.env.SEPTUM_URL ?? "http://127.0.0.1:8080"; // for `npm run dev`: its --console-port

function packed(): Plugin {
  return {
    name: "packed",
    apply: "build",
    closeBundle() {
      for (const entry of readdirSync(OUT, { recursive: true, encoding: "utf8" })) {
        if (!PACKED.test(entry)) continue;
        const path = join(OUT, entry);
        const data = readFileSync(path);
        if (data.length < 1024) continue;
        writeFileSync(`${path}.gz`, gzipSync(data, { level: 9 }));
        writeFileSync(`${path}.br`, brotliCompressSync(data, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
      }
    },
  };
}

/** The page says which files the program and each page are in, so that the entry, which is small, has all fetched that an address needs. */
function files(): Plugin {
  const web = import.meta.dirname;
  return {
    name: "files",
    apply: "build",
    transformIndexHtml: {
      order: "post",
      handler(_html, { bundle = {} }) {
        const chunks = Object.values(bundle).filter((one) => one.type === "chunk");
        const closure = (files: readonly string[]): Set<string> => {
          const found = new Set(files);
          for (const file of found) for (const other of chunks.find((one) => one.fileName === file)?.imports ?? []) found.add(other);
          return found;
        };
        const source = (one: { facadeModuleId: string | null }): string => relative(join(web, "src"), one.facadeModuleId ?? web);
        const program = closure(chunks.filter((one) => one.moduleIds.includes(PROGRAM)).map((one) => one.fileName));
        const pages = chunks.filter((one) => source(one).startsWith("pages/"));
        const byPage = Object.fromEntries(pages.map((one) => [source(one), [...closure([one.fileName])].filter((file) => !program.has(file)).map((file) => `/${file}`)]));
        return [
          ...[...program].map((file) => ({ tag: "link", attrs: { rel: "modulepreload", crossorigin: true, href: `/${file}` }, injectTo: "head" as const })),
          { tag: "script", attrs: { type: "application/json", id: "files" }, children: JSON.stringify(byPage), injectTo: "body" as const },
        ];
      },
    },
  };
}

export default defineConfig({
  plugins: [react(), packed(), files()],
  html: { cspNonce: "__NONCE__" },
  build: {
    outDir: OUT,
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 800,
    rollupOptions: {
      output: {
        chunkFileNames: ({ moduleIds }) => `assets/${moduleIds.includes(PROGRAM) ? "program" : "[name]"}-[hash].js`,
        experimentalMinChunkSize: 20_000, // bytes: a browser fetches six files of a host at a time, so many small ones wait
      },
    },
  },
  server: { proxy: { "/api": { target: COORDINATOR, changeOrigin: true } } },
  test: { environment: "jsdom", setupFiles: ["src/test/setup.ts"], include: ["src/**/*.test.{ts,tsx}"], testTimeout: 30_000 }, // a form of many fields takes seconds where others compute
});
