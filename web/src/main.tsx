/** What is the console made of? Its providers, and its pages by their paths. */
import "./styles";
import { Center, Loader, MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { setNonce } from "get-nonce";
import { lazy, StrictMode, Suspense } from "react";
import { createRoot } from "react-dom/client";
import { BrowserRouter, Route, Routes } from "react-router";
import { ApiError } from "./api/client";
import { SessionProvider } from "./api/session";
import { Door } from "./components/Door";
import { Shell } from "./components/Shell";
import { Enter } from "./pages/Enter";
import { NotFound } from "./pages/NotFound";
import { colours, theme } from "./theme";

const nonce = document.querySelector<HTMLMetaElement>('meta[property="csp-nonce"]')?.nonce ?? "";
setNonce(nonce); // of the styles that a modal's scroll lock makes

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

const Home = lazy(() => import("./pages/Home").then((page) => ({ default: page.Home })));
const Runs = lazy(() => import("./pages/Runs").then((page) => ({ default: page.Runs })));
const Run = lazy(() => import("./pages/run/Run").then((page) => ({ default: page.RunPage })));
const NewRun = lazy(() => import("./pages/NewRun").then((page) => ({ default: page.NewRun })));
const Compare = lazy(() => import("./pages/Compare").then((page) => ({ default: page.Compare })));
const Models = lazy(() => import("./pages/Models").then((page) => ({ default: page.Models })));
const Version = lazy(() => import("./pages/Version").then((page) => ({ default: page.VersionPage })));
const Silos = lazy(() => import("./pages/Silos").then((page) => ({ default: page.Silos })));
const Silo = lazy(() => import("./pages/Silo").then((page) => ({ default: page.SiloPage })));
const Projects = lazy(() => import("./pages/Projects").then((page) => ({ default: page.Projects })));
const Apps = lazy(() => import("./pages/Apps").then((page) => ({ default: page.Apps })));
const App = lazy(() => import("./pages/App").then((page) => ({ default: page.AppPage })));
const Activity = lazy(() => import("./pages/Activity").then((page) => ({ default: page.Activity })));
const People = lazy(() => import("./pages/People").then((page) => ({ default: page.People })));
const Account = lazy(() => import("./pages/Account").then((page) => ({ default: page.Account })));

const waiting = (
  <Center mih={240}>
    <Loader aria-label="Loading" />
  </Center>
);

const root = document.getElementById("root");
if (root)
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
                            <Route index element={<Home />} />
                            <Route path="runs" element={<Runs />} />
                            <Route path="runs/new" element={<NewRun />} />
                            <Route path="runs/compare" element={<Compare />} />
                            <Route path="runs/:id/:tab?" element={<Run />} />
                            <Route path="models" element={<Models />} />
                            <Route path="models/:name/:version" element={<Version />} />
                            <Route path="silos" element={<Silos />} />
                            <Route path="silos/:name" element={<Silo />} />
                            <Route path="projects" element={<Projects />} />
                            <Route path="apps" element={<Apps />} />
                            <Route path="apps/:digest" element={<App />} />
                            <Route path="activity" element={<Activity />} />
                            <Route path="people" element={<People />} />
                            <Route path="account" element={<Account />} />
                            <Route path="invitation" element={<Home />} />
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
