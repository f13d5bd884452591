/** Who is signed in, and what may they do? Buttons that one may not press are not shown: `can` says which. */
import { queryOptions, useQuery, useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, useCallback, useContext, useEffect, useMemo, useState } from "react";
import { forget } from "./ahead";
import { ApiError, api, type Schemas, told, keepCsrf, whenSignedOut } from "./client";

export type Right = Schemas["Right"];
export type Who = Schemas["WhoView"];

type Session = {
  who: Who | null;
  ended: boolean;
  loading: boolean;
  can: (right: Right) => boolean;
  signedIn: () => Promise<void>;
  signOut: () => Promise<void>;
};

const Context = createContext<Session | null>(null);

async function ask(): Promise<Who | null> {
  try {
    const who = await told(api.GET("/api/v1/session"));
    keepCsrf(who.csrf ?? "");
    return who;
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return null;
    throw error;
  }
}

export const sessionQuery = queryOptions({ queryKey: ["session"], queryFn: ask, staleTime: 60_000 });

export function SessionProvider({ children }: { children: ReactNode }) {
  const queries = useQueryClient();
  const [ended, setEnded] = useState(false);
  const { data, isPending } = useQuery(sessionQuery);
  const who = data ?? null;

  useEffect(() => {
    whenSignedOut(() => {
      const before = queries.getQueryData<Who | null>(["session"]);
      if (before) {
        setEnded(true);
        queries.setQueryData(["session"], null);
      }
    });
  }, [queries]);

  const signedIn = useCallback(async () => {
    setEnded(false);
    forget();
    await queries.cancelQueries({ queryKey: ["session"], exact: true }); // one that was asked before the cookie came
    queries.removeQueries({ predicate: (query) => query.queryKey[0] !== "session" });
    await queries.fetchQuery({ ...sessionQuery, staleTime: 0 });
  }, [queries]);

  const signOut = useCallback(async () => {
    await told(api.DELETE("/api/v1/session"));
    queries.setQueryData(["session"], null); // before the rest goes: whoever looks at it has to be told
    queries.removeQueries({ predicate: (query) => query.queryKey[0] !== "session" });
  }, [queries]);

  const session = useMemo<Session>(
    () => ({
      who,
      ended,
      loading: isPending,
      can: (right) => who?.rights.includes(right) ?? false,
      signedIn,
      signOut,
    }),
    [who, ended, isPending, signedIn, signOut],
  );
  return <Context value={session}>{children}</Context>;
}

export function useSession(): Session {
  const session = useContext(Context);
  if (!session) throw new Error("useSession is for what lies in a SessionProvider");
  return session;
}
