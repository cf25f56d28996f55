/**
 * JSON-RPC to an L1 endpoint, a request at a time over connections that stay open. Its errors are viem's, so that whoever asks through viem judges
 * one kind of them. An L1 that is polled every second costs a fraction of what `fetch` and viem's own transport take for it.
 */
import { request as askHttp, Agent as HttpAgent, type IncomingMessage, type RequestOptions } from 'node:http'
import { request as askHttps, Agent as HttpsAgent } from 'node:https'
import { HttpRequestError, ResponseBodyTooLargeError, RpcRequestError, TimeoutError } from 'viem'

/** Of one answer. */
const ANSWER_BYTES_MAX = 10 << 20
/** Connections with one endpoint, and of them such as nobody uses just now. */
const SOCKETS_MAX = 16
const IDLE_SOCKETS_MAX = 2

export type L1Question = { readonly method: string; readonly params?: unknown }

export type L1Http = {
  /**
   * The result that the endpoint gives. Throws RpcRequestError where it answers with an error, and HttpRequestError, TimeoutError or
   * ResponseBodyTooLargeError where it does not answer.
   */
  request(question: L1Question): Promise<unknown>
}

/** Opens nothing: the first request does. */
export function createL1Http(endpoint: string, { timeoutMs }: { readonly timeoutMs: number }): L1Http {
  const url = new URL(endpoint)
  const isSecure = url.protocol === 'https:'
  const sockets = { keepAlive: true, maxSockets: SOCKETS_MAX, maxFreeSockets: IDLE_SOCKETS_MAX }
  const agent = isSecure ? new HttpsAgent(sockets) : new HttpAgent(sockets)
  let lastId = 0

  /** Status and body. Rejects with what the socket says, or with an error of viem's. */
  function post(text: string, body: { readonly method: string }): Promise<Answered> {
    return new Promise((resolve, reject) => {
      const bytes = Buffer.from(text)
      const headers = { 'content-type': 'application/json', 'content-length': bytes.length }
      const options: RequestOptions = { method: 'POST', headers, agent }
      const request = (isSecure ? askHttps : askHttp)(url, options, (response) => {
        readAll(response).then((answer) => {
          clearTimeout(timer)
          resolve({ status: response.statusCode ?? 0, text: answer, retryAfter: response.headers['retry-after'] })
        }, fail)
      })
      const timer = setTimeout(() => fail(new TimeoutError({ body, url: endpoint })), timeoutMs)
      function fail(error: unknown): void {
        clearTimeout(timer)
        reject(error)
        request.destroy()
      }
      request.once('error', fail)
      request.end(bytes)
    })
  }

  return {
    async request({ method, params }) {
      const body = { method } // what is sent may be megabytes of blobs, which no log wants
      const { status, text, retryAfter } = await post(JSON.stringify({ jsonrpc: '2.0', id: ++lastId, method, params }), body).catch(
        (cause: unknown) => {
          if (cause instanceof TimeoutError || cause instanceof ResponseBodyTooLargeError) throw cause
          throw new HttpRequestError({ body, url: endpoint, cause: cause instanceof Error ? cause : new Error(String(cause)) })
        },
      )
      const isRefused = status < 200 || status > 299
      const answer = parseAnswer(text)
      const refusal = isRefused && { status, ...(retryAfter !== undefined && { headers: new Headers({ 'retry-after': retryAfter }) }) }
      if (answer?.error) throw new RpcRequestError({ body, error: answer.error, url: endpoint, ...refusal })
      if (isRefused) throw new HttpRequestError({ body, details: text.slice(0, 500), url: endpoint, ...refusal })
      if (!answer) throw new HttpRequestError({ body, details: 'the answer is no JSON-RPC', url: endpoint })
      return answer.result
    },
  }
}

/** Longest that is honoured: a server that wants more is asked again all the same. */
export const RETRY_AFTER_MAX_MS = 60_000

/**
 * What a `Retry-After` of seconds or a date says, in milliseconds from `nowMs`: 0 to the most that is honoured. Undefined: it says nothing.
 * Source: RFC 9110, section 10.2.3.
 */
export function retryAfterMs(value: string | null | undefined, nowMs: number): number | undefined {
  if (value === null || value === undefined) return undefined
  const text = value.trim()
  const waitMs = /^\d{1,9}$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - nowMs
  return Number.isNaN(waitMs) ? undefined : Math.min(Math.max(0, waitMs), RETRY_AFTER_MAX_MS)
}

type Answered = { readonly status: number; readonly text: string; readonly retryAfter: string | undefined }

/** By events and not by the stream's iterator, which costs more than all else of a small answer. */
function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  return new Promise((resolve, reject) => {
    response.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size > ANSWER_BYTES_MAX) reject(new ResponseBodyTooLargeError({ maxSize: ANSWER_BYTES_MAX, size }))
      else chunks.push(chunk)
    })
    response.once('end', () => {
      const [first] = chunks
      resolve(chunks.length === 1 && first ? first.toString() : Buffer.concat(chunks).toString())
    })
    response.once('error', reject)
    response.once('close', () => reject(new Error('the connection ended within an answer'))) // settled already if the answer was whole
  })
}

type Answer = {
  readonly result: unknown
  readonly error: { readonly code: number; readonly message: string; readonly data: unknown } | undefined
}

/** What JSON-RPC there is in a body; undefined: none. */
function parseAnswer(text: string): Answer | undefined {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    return undefined // it is not JSON
  }
  if (typeof parsed !== 'object' || parsed === null) return undefined
  const { result, error } = parsed as { readonly result?: unknown; readonly error?: unknown }
  if (typeof error !== 'object' || error === null) return result === undefined ? undefined : { result, error: undefined }
  const { code, message, data } = error as { readonly code?: unknown; readonly message?: unknown; readonly data?: unknown }
  if (typeof code !== 'number') return undefined
  return { result: undefined, error: { code, message: typeof message === 'string' ? message : '', data } }
}
