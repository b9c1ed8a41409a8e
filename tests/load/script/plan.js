// How much of what, and how fast the answers should come. The profile is in the environment:
// seconds, and iterations per second of each scenario, a list of `rate:seconds` for bursts.

const plan = JSON.parse(__ENV.KEYFERRY_LOAD_PLAN);
const names = ["cloudflareLife", "livepeerLife", "viewer", "reader"];

// Milliseconds: median, 99th percentile. Creates may wait for a key pair to be made.
const limits = {
  "cloudflare create": [100, 2500],
  "cloudflare list": [50, 500],
  "cloudflare delete": [50, 500],
  "livepeer create": [100, 2500],
  "livepeer list": [50, 500],
  "livepeer get": [50, 500],
  "livepeer rename": [50, 500],
  "livepeer disable": [50, 500],
  "livepeer delete": [50, 500],
  "livepeer gate": [50, 500],
  "verify first": [50, 500],
  "verify again": [50, 500],
  "verify revoked": [50, 500],
};

export const routes = Object.keys(limits);

export const scenarios = {};
for (const name of names) {
  let start = 0;
  plan.phases.forEach((phase, index) => {
    scenarios[plan.phases.length > 1 ? `${name}_${index + 1}` : name] = {
      executor: "constant-arrival-rate",
      exec: name,
      rate: Math.max(1, Math.round(phase.rates[name] * 60)),
      timeUnit: "60s",
      duration: `${phase.seconds}s`,
      startTime: `${start}s`,
      gracefulStop: "10s",
      // One made during the run comes too late for the iteration that wanted it.
      preAllocatedVUs: Math.max(10, Math.ceil(phase.rates[name] * 2)),
      maxVUs: Math.max(20, Math.ceil(phase.rates[name] * 10)),
    };
    start += phase.seconds;
  });
}

export const thresholds = {
  checks: [`rate>${plan.good}`],
  // In an open model an iteration that cannot start is load that was not put on.
  dropped_iterations: [`count<=${plan.dropped}`],
};
for (const route of routes) {
  const [median, tail] = limits[route].map((limit) => limit * plan.patience);
  thresholds[`http_req_duration{name:${route}}`] = [`med<${median}`, `p(99)<${tail}`];
  thresholds[`http_req_failed{name:${route}}`] = [`rate<${(1 - plan.good).toFixed(4)}`];
}
