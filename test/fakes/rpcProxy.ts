/** A server in front of another: passes requests on, writes them down, and answers some itself, as a bad node would. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/** An answer in place of the server behind: a whole HTTP response. */
export type ProxyAnswer = { readonly status: number; readonly body: unknown; readonly headers?: Readonly<Record<string, string>> }

export type RpcRequest = { readonly id: unknown; readonly method: string; readonly params: readonly unknown[] }

export type RpcProxy = {
  readonly url: string
  /** JSON-RPC requests so far, and paths of GET requests. */
  readonly requests: RpcRequest[]
  readonly paths: string[]
  stop(): Promise<void>
}

type Own = ProxyAnswer | undefined

export type ProxyRules = {
  /** Answers a JSON-RPC request, or undefined to pass it on; at once or later. */
  onRpc?(request: RpcRequest): Own | Promise<Own>
  /** Answers a GET request, or undefined to pass it on. */
  onGet?(path: string): Own | Promise<Own>
}

/** Starts a proxy before the server at `url`. */
export async function startRpcProxy(url: string, rules: ProxyRules = {}): Promise<RpcProxy> {
  const requests: RpcRequest[] = []
  const paths: string[] = []
  const answerTo = async (method: string, path: string, text: string): Promise<ProxyAnswer> => {
    let own: ProxyAnswer | undefined
    if (method === 'GET') {
      paths.push(path)
      own = await rules.onGet?.(path)
    } else {
      const request: RpcRequest = JSON.parse(text)
      requests.push(request)
      own = await rules.onRpc?.(request)
    }
    if (own) return own
    const init = method === 'GET' ? {} : { method, body: text, headers: { 'content-type': 'application/json' } }
    const response = await fetch(new URL(path, url), init)
    const body = await response.text()
    return { status: response.status, body: body === '' ? undefined : JSON.parse(body) }
  }
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const { status, body, headers } = await answerTo(request.method ?? '', request.url ?? '/', Buffer.concat(chunks).toString())
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body === undefined ? '' : JSON.stringify(body))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    paths,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** A JSON-RPC error as an HTTP answer. */
export function rpcError(request: RpcRequest, code: number, message: string): ProxyAnswer {
  return { status: 200, body: { jsonrpc: '2.0', id: request.id, error: { code, message } } }
}
