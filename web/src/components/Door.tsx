/** Who comes in? Whoever is signed in; for others the sign-in stands in place of the page, whose address stays. */
import { Center, Loader } from "@mantine/core";
import type { ReactNode } from "react";
import { useLocation } from "react-router";
import { useSession } from "../api/session";
import { SignIn } from "../pages/SignIn";

export function Door({ children }: { children: ReactNode }) {
  const { who, loading } = useSession();
  const { pathname } = useLocation();
  if (loading)
    return (
      <Center mih="100vh">
        <Loader aria-label="Loading" />
      </Center>
    );
  if (!who || pathname === "/invitation") return <SignIn />;
  return children;
}
