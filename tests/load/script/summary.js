// One page for the terminal, and all the figures as JSON.

import { routes } from "./plan.js";

// Returns what k6 should write where.
export function summary(data, jsonFile) {
  return { stdout: page(data), [jsonFile]: JSON.stringify(data, null, 1) };
}

function page(data) {
  const seconds = data.state.testRunDurationMs / 1000;
  const failed = Object.entries(data.metrics).flatMap(broken);
  const lines = [
    "",
    head(data, seconds),
    "",
    row(["route", "requests", "per s", "p50 ms", "p95 ms", "p99 ms", "max ms", "wrong"]),
    ...routes.map((route) => routeRow(data.metrics, route, seconds)),
    "",
    ...(failed.length ? ["Not good enough:", ...failed] : ["Every threshold holds."]),
    ...wrongChecks(data.root_group),
    "",
  ];
  return lines.join("\n");
}

function head({ metrics }, seconds) {
  const requests = metrics.http_reqs.values.count;
  const lives = metrics.iterations.values.count;
  const dropped = metrics.dropped_iterations ? metrics.dropped_iterations.values.count : 0;
  return (
    `${requests} requests in ${seconds.toFixed(0)} s, ${(requests / seconds).toFixed(1)} per second; ` +
    `${lives} iterations, ${dropped} could not start in time`
  );
}

function routeRow(metrics, route, seconds) {
  const times = metrics[`http_req_duration{name:${route}}`];
  const wrong = metrics[`http_req_failed{name:${route}}`];
  if (!times || !times.values.count) return row([route, "0", "", "", "", "", "", ""]);
  const { count, med, max, "p(95)": p95, "p(99)": p99 } = times.values;
  const figures = [med, p95, p99, max].map((ms) => ms.toFixed(1));
  const share = wrong ? `${(wrong.values.rate * 100).toFixed(2)} %` : "";
  return row([route, String(count), (count / seconds).toFixed(1), ...figures, share]);
}

function broken([name, metric]) {
  return Object.entries(metric.thresholds || {})
    .filter(([, threshold]) => !threshold.ok)
    .map(([limit]) => `  ${name}: ${limit}`);
}

function wrongChecks(group) {
  return group.checks
    .filter((check) => check.fails)
    .map((check) => `  ${check.fails} of ${check.fails + check.passes} times not: ${check.name}`);
}

function row([first, ...rest]) {
  return "  " + first.padEnd(20) + rest.map((text) => text.padStart(10)).join("");
}
