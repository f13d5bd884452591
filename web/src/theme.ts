/** How does the console look? Mantine's components with one accent colour, and texts that everybody can read. */
import { createTheme, type CSSVariablesResolver } from "@mantine/core";

/** What is said of a field stands below it: so fields beside each other are on one line, however long it is. */
const FIELDS = ["Autocomplete", "MultiSelect", "NumberInput", "PasswordInput", "Select", "TextInput"];
const ORDER = ["label", "input", "description", "error"];

export const theme = createTheme({
  primaryColor: "cyan",
  primaryShade: 9,
  autoContrast: true,
  respectReducedMotion: true,
  defaultRadius: "md",
  fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif',
  fontFamilyMonospace: 'ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace',
  headings: { fontWeight: "600" },
  cursorType: "pointer",
  components: {
    ...Object.fromEntries(FIELDS.map((name) => [name, { defaultProps: { inputWrapperOrder: ORDER } }])),
    Table: { defaultProps: { verticalSpacing: "xs", horizontalSpacing: "md" } },
    TableScrollContainer: { defaultProps: { scrollAreaProps: { offsetScrollbars: "present" } } },
    Anchor: { defaultProps: { underline: "hover", inherit: true } },
    Modal: { defaultProps: { closeButtonProps: { "aria-label": "Close" } } },
    Drawer: { defaultProps: { closeButtonProps: { "aria-label": "Close" } } },
    Badge: { defaultProps: { miw: "max-content" } },
  },
});

/** Quiet texts are as dark as WCAG 2.2, 1.4.3 asks: 4.5 to 1. */
export const colours: CSSVariablesResolver = (found) => ({
  variables: {},
  light: {
    ...Object.fromEntries(Object.entries(found.colors).map(([name, shades]) => [`--mantine-color-${name}-light`, shades[0]])),
    "--mantine-color-gray-light": found.colors.gray[1],
    "--mantine-color-teal-light-color": "#066649",
    "--mantine-color-yellow-light-color": "#7d4400",
    "--mantine-color-orange-light-color": "#9c3800",
    "--mantine-color-dimmed": found.colors.gray[7],
    "--mantine-color-placeholder": found.colors.gray[6],
    "--mantine-color-error": found.colors.red[9],
  },
  dark: { "--mantine-color-gray-light": found.colors.dark[6], "--mantine-color-dimmed": found.colors.dark[1], "--mantine-color-placeholder": found.colors.dark[2] },
});
