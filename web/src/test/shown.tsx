/** A component as the console shows it, without a coordinator. */
import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render } from "@testing-library/react";
import type { ReactNode } from "react";
import { MemoryRouter } from "react-router";

export function shown(component: ReactNode, queries = new QueryClient()) {
  return render(
    <MantineProvider env="test">
      <QueryClientProvider client={queries}>
        <MemoryRouter>{component}</MemoryRouter>
      </QueryClientProvider>
    </MantineProvider>,
  );
}
