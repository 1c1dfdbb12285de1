/** The server's answers, and its errors as one kind. */

export class ApiError extends Error {
  /** @param {string} message one line with the remedy  @param {number} status 0: no server answered */
  constructor(message, status, position = null) {
    super(message);
    this.status = status;
    this.position = position;
  }
}

async function call(path, { query = {}, signal, ...request } = {}) {
  const address = new URL(path, location.origin);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "")
      address.searchParams.set(name, value);
  }
  if (request.method) request.headers = { ...request.headers, "X-Retrieve": "1" };
  let response;
  try {
    response = await fetch(address, { signal, ...request });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("Can’t reach the server.", 0);
  }
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => null);
  if (response.ok) return answer;
  throw new ApiError(
    answer?.error ?? `Server error: ${response.status} ${response.statusText}`,
    response.status,
    answer?.position ?? null,
  );
}

const json = (method, body) => ({
  method,
  body: JSON.stringify(body),
  headers: { "Content-Type": "application/json" },
});

export const api = {
  search: (query, signal) => call("/api/search", { query, signal }),
  picture: (id, signal) => call(`/api/pictures/${id}`, { signal }),
  toJudge: (q, signal) => call("/api/judging", { query: { q }, signal }),
  judge: (answers) => call("/api/judging", json("POST", { answers })),
  similar: (id, limit, signal) => call(`/api/similar/${id}`, { query: { limit }, signal }),
  reveal: (id) => call(`/api/pictures/${id}/reveal`, { method: "POST" }),
  upload: (picture) => call("/api/uploads", { method: "POST", body: picture }),
  duplicates: (query, signal) => call("/api/duplicates", { query, signal }),
  status: () => call("/api/status"),
  failures: (offset, limit) => call("/api/failures", { query: { offset, limit } }),
  folders: () => call("/api/folders"),
  facets: () => call("/api/facets"),
  startIndex: (paths) => call("/api/index", json("POST", { paths })),
  stopIndex: () => call("/api/index", { method: "DELETE" }),
};

/** @param {number} [moment] the number of a moment */
export const thumbnail = (id, moment) =>
  `/api/pictures/${id}/thumbnail${moment ? `?moment=${moment}` : ""}`;
export const large = (id, moment) =>
  `/api/pictures/${id}/thumbnail?large=1${moment ? `&moment=${moment}` : ""}`;
/** For a closer look: all pixels, or as many as the server draws of what browsers can't decode. */
export const full = (id) => `/api/pictures/${id}/full`;
export const original = (id) => `/api/pictures/${id}/original`;
export const uploaded = (key) => `/api/uploads/${key}/thumbnail`;

/** The thumbnail of "id:12" or "upload:abc". */
export function thumbnailOf(picture) {
  const [kind, key] = picture.split(":");
  return kind === "id" ? thumbnail(key) : uploaded(key);
}
