// One request to Keyferry: named for the report, and wrong unless its status is the expected one.

import http from "k6/http";
import { check } from "k6";

export const BASE = __ENV.KEYFERRY_LOAD_URL;

// Sends `body` as JSON; undefined is no body, as SDKs create keys. Returns k6's response.
export function ask(name, method, path, { token, body, expect = 200, headers = {} } = {}) {
  const sent = { ...headers };
  if (token) sent["Authorization"] = `Bearer ${token}`;
  if (body !== undefined) sent["Content-Type"] = "application/json";
  const response = http.request(method, BASE + path, body === undefined ? null : JSON.stringify(body), {
    headers: sent,
    tags: { name },
    timeout: "30s",
    redirects: 0,
    responseCallback: http.expectedStatuses(expect),
  });
  check(response, { [`${name} answers ${expect}`]: (answer) => answer.status === expect });
  return response;
}

// Notes whether an answer says what it should.
export function say(name, holds) {
  check(null, { [name]: () => holds });
  return holds;
}
