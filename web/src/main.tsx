/** What is the console made of? Its providers, and its pages by their paths. */
import { Center, Loader, MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { setNonce } from "get-nonce";
import { StrictMode, Suspense } from "react";
import { createRoot } from "react-dom/client";
import { BrowserRouter, Route, Routes } from "react-router";
import { PAGES } from "./addresses";
import { ApiError } from "./api/client";
import { SessionProvider, sessionQuery } from "./api/session";
import { Door } from "./components/Door";
import { later } from "./components/Later";
import { Shell } from "./components/Shell";
import { fetchParts, PARTS } from "./pages";
import { Enter } from "./pages/Enter";
import { NotFound } from "./pages/NotFound";
import { colours, theme } from "./theme";

const nonce = document.querySelector<HTMLMetaElement>('meta[property="csp-nonce"]')?.nonce ?? "";
setNonce(nonce); // of the styles that a modal's scroll lock makes

const PATIENCE_MS = 2_000;

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      networkMode: "always",
      staleTime: 2_000,
      retry: (count, error) => !(error instanceof ApiError) && count < 100,
      retryDelay: (count) => Math.min(500 * 2 ** count, 4_000),
    },
    mutations: { networkMode: "always" },
  },
});

const ROUTES = PAGES.map(({ path, file }) => ({ path, Shown: later(PARTS[file]) }));

const waiting = (
  <Center mih={240}>
    <Loader aria-label="Loading" />
  </Center>
);

/** Once the page's file and the session are here: what React shows before it keeps for a while, and then builds anew. */
async function open(root: HTMLElement): Promise<void> {
  const late = new Promise((done) => setTimeout(done, PATIENCE_MS));
  await Promise.race([Promise.allSettled([fetchParts(window.location.pathname), queries.prefetchQuery(sessionQuery)]), late]);
  createRoot(root).render(
    <StrictMode>
      <MantineProvider theme={theme} cssVariablesResolver={colours} defaultColorScheme="auto" getStyleNonce={() => nonce}>
        <QueryClientProvider client={queries}>
          <SessionProvider>
            <BrowserRouter>
              <Routes>
                <Route path="/enter" element={<Enter />} />
                <Route
                  path="*"
                  element={
                    <Door>
                      <Shell>
                        <Suspense fallback={waiting}>
                          <Routes>
                            {ROUTES.map(({ path, Shown }) => (
                              <Route key={path} path={path} element={<Shown />} />
                            ))}
                            <Route path="*" element={<NotFound />} />
                          </Routes>
                        </Suspense>
                      </Shell>
                    </Door>
                  }
                />
              </Routes>
            </BrowserRouter>
          </SessionProvider>
        </QueryClientProvider>
      </MantineProvider>
    </StrictMode>,
  );
}

const root = document.getElementById("root");
if (root) void open(root);
