/** Who comes in? Whoever is signed in; for others the sign-in stands in place of the page, whose address stays. */
import { Center, Loader } from "@mantine/core";
import { type ReactNode, Suspense, useEffect } from "react";
import { useLocation, useNavigate } from "react-router";
import { useSession } from "../api/session";
import { takePlace } from "../lib/place";
import { SIGN_IN } from "../pages";
import { later } from "./Later";

const SignIn = later(SIGN_IN);

export function Door({ children }: { children: ReactNode }) {
  const { who, loading } = useSession();
  const { pathname } = useLocation();
  const navigate = useNavigate();
  useEffect(() => {
    const place = who && pathname === "/" ? takePlace() : null;
    if (place) void navigate(place, { replace: true });
  }, [who, pathname, navigate]);
  const waiting = (
    <Center mih="100vh">
      <Loader aria-label="Loading" />
    </Center>
  );
  if (loading) return waiting;
  if (!who || pathname === "/invitation")
    return (
      <Suspense fallback={waiting}>
        <SignIn />
      </Suspense>
    );
  return children;
}
