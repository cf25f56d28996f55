/**
 * The node's numbers for Prometheus, on a port of their own: GET /metrics, in the text form. What each is: docs/metrics.md. Whoever can reach the port
 * can read them; they hold no secret, and nothing can be changed through it.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import type { CallCount } from '../rpc/callCounts.ts'
import type { ChallengerStatus } from './challenger.ts'
import type { CosignerCounts } from './cosigner.ts'
import type { LoopDelay } from './loopDelay.ts'
import type { ChildMetrics } from './p2pChild.ts'

/** What is asked when somebody looks. */
export type MetricsSource = {
  /** Heads by their names. */
  heads(): Readonly<Record<'latest' | 'safe' | 'finalized', bigint>>
  /** Time of the latest block. */
  headTimestampMs(): number
  pooled(): number
  settled(): Readonly<Record<'batches' | 'postedBytes' | 'checkpoints', number>>
  signatures(): CosignerCounts
  /** Undefined: it does not challenge. */
  challenger(): ChallengerStatus | undefined
  loopDelays(): Readonly<Record<string, LoopDelay>>
  rpcCalls(): readonly CallCount[]
  network(): ChildMetrics | undefined
}

export type MetricsServer = { readonly url: string; close(): Promise<void> }

type Kind = 'gauge' | 'counter'
type Sample = {
  readonly name: string
  readonly kind: Kind
  readonly help: string
  readonly value: number
  readonly labels?: Readonly<Record<string, string>>
}

const CONNECTIONS_MAX = 16
const REQUEST_MAX_MS = 5_000

/** Numbers of the network that are of now; all others count from the start. */
const OF_NOW = new Set([
  ...[
    'host_peers',
    'host_connections',
    'gossip_queued_txs',
    'gossip_peers',
    'gossip_graylisted',
    'gossip_mesh_transactions',
    'gossip_mesh_blocks',
    'gossip_remembered_messages',
    'gossip_remembered_peers',
  ],
  ...[
    'sync_servers',
    'direct_validators',
    'process_delay_ms',
    'process_delay_max_ms',
    'process_rss_bytes',
    'process_pipe_waiting_bytes',
    'process_is_up',
  ],
])

/** Serves the numbers. Throws what listening throws. */
export function serveMetrics(source: MetricsSource, place: Place): Promise<MetricsServer> {
  return serveSamples(() => samplesOf(source), place)
}

/** Serves a challenger's numbers alone. Throws what listening throws. */
export function serveChallengerMetrics(status: () => ChallengerStatus, place: Place): Promise<MetricsServer> {
  return serveSamples(() => challengerSamples(status()), place)
}

type Place = { readonly host: string; readonly port: number }

async function serveSamples(samples: () => Sample[], place: Place): Promise<MetricsServer> {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    if (request.method !== 'GET' || request.url?.split('?')[0] !== '/metrics') {
      response.writeHead(404).end()
      return
    }
    write(registry, samples())
    const text = await registry.metrics()
    response.writeHead(200, { 'content-type': registry.contentType }).end(text)
  }
  const server = createServer({ requestTimeout: REQUEST_MAX_MS, headersTimeout: REQUEST_MAX_MS }, (request, response) => {
    answer(request, response).catch(() => response.destroy())
  })
  server.maxConnections = CONNECTIONS_MAX
  await listen(server, place)
  const { port } = server.address() as AddressInfo
  return {
    url: `http://${place.host.includes(':') ? `[${place.host}]` : place.host}:${port}/metrics`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function listen(server: Server, { host, port }: { readonly host: string; readonly port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

function samplesOf(source: MetricsSource): Sample[] {
  const { latest, safe, finalized } = source.heads()
  const heads = Object.entries({ latest, safe, finalized }).map(([head, number]): Sample => {
    return { name: 'head_block', kind: 'gauge', help: 'Number of the head', value: Number(number), labels: { head } }
  })
  const { batches, postedBytes, checkpoints } = source.settled()
  return [
    ...heads,
    { name: 'head_timestamp_seconds', kind: 'gauge', help: 'Time of the latest block', value: source.headTimestampMs() / 1_000 },
    { name: 'pool_transactions', kind: 'gauge', help: 'Transactions that wait', value: source.pooled() },
    { name: 'l1_batches_total', kind: 'counter', help: 'Batches on L1', value: batches },
    { name: 'l1_posted_bytes_total', kind: 'counter', help: 'Bytes of batches on L1', value: postedBytes },
    { name: 'l1_checkpoints_total', kind: 'counter', help: 'Checkpoints on L1', value: checkpoints },
    ...signatureSamples(source.signatures()),
    ...challengerSamples(source.challenger()),
    ...Object.entries(source.loopDelays()).flatMap(([thread, delay]) => delaysOf(thread, delay)),
    ...source.rpcCalls().flatMap(rpcSamples),
    ...networkSamples(source.network()),
  ]
}

function signatureSamples({ missing, ...counts }: CosignerCounts): Sample[] {
  const help =
    'Signatures of checkpoints: given here, heard of others, bad ones of these, quorums that these made, and quorums that gossip told of'
  const totals = Object.entries(counts).map(([what, value]): Sample => {
    return { name: 'checkpoint_signatures_total', kind: 'counter', help, value, labels: { what } }
  })
  const open = 'Validators whose signature of the latest checkpoint has not come'
  return [...totals, { name: 'checkpoint_signatures_missing', kind: 'gauge', help: open, value: missing }]
}

function challengerSamples(status: ChallengerStatus | undefined): Sample[] {
  if (!status) return []
  const { open, wrong, fell, matured, misjudged, sent, refused, lookedAtMs } = status
  const checkpoints = (kind: Kind, counts: Readonly<Record<string, number>>): Sample[] => {
    const [name, help] =
      kind === 'gauge'
        ? ['challenger_checkpoints', 'Checkpoints whose window is open, and of them those that are wrong']
        : ['challenger_checkpoints_total', 'Wrong checkpoints that fell by this challenger, that matured, and that rest on a wrong verdict']
    return Object.entries(counts).map(([what, value]) => ({ name, kind, help, value, labels: { what } }))
  }
  const proofs = Object.entries({ sent, refused }).map(([what, value]): Sample => {
    return {
      name: 'challenger_proofs_total',
      kind: 'counter',
      help: 'Proofs that were sent, and that L1 does not take',
      value,
      labels: { what },
    }
  })
  const looked = 'When the challenger last looked at L1 and came to the end of it'
  return [
    ...checkpoints('gauge', { open, wrong }),
    ...checkpoints('counter', { fell, matured, misjudged }),
    ...proofs,
    ...(lookedAtMs === undefined
      ? []
      : [{ name: 'challenger_looked_timestamp_seconds', kind: 'gauge' as const, help: looked, value: lookedAtMs / 1_000 }]),
  ]
}

function delaysOf(thread: string, { meanMs, p99Ms, maxMs }: LoopDelay): Sample[] {
  const help = 'How late the event loop of a thread was in the last ten seconds'
  return Object.entries({ mean: meanMs, p99: p99Ms, max: maxMs }).map(([figure, ms]) => {
    return { name: 'loop_delay_seconds', kind: 'gauge', help, value: ms / 1_000, labels: { thread, figure } }
  })
}

function rpcSamples({ method, outcome, calls, ms, slow }: CallCount): Sample[] {
  const counter = (name: string, help: string, value: number, labels: Readonly<Record<string, string>>): Sample => {
    return { name, kind: 'counter', help, value, labels }
  }
  return [
    counter('rpc_calls_total', 'JSON-RPC calls, by how they ended', calls, { method, outcome }),
    counter('rpc_seconds_total', 'Time from the beginning of calls to their answers', ms / 1_000, { method }),
    counter('rpc_slow_calls_total', 'Calls that took more than a tenth of a second', slow, { method }),
  ]
}

/** Every number of every part of the network, by its name there. */
function networkSamples(metrics: ChildMetrics | undefined): Sample[] {
  if (!metrics) return []
  const { host, ...parts } = metrics
  const { bansBy, ...hostCounts } = host
  const bans = Object.entries(bansBy).map(([why, value]): Sample => {
    return { name: 'p2p_bans_total', kind: 'counter', help: 'Peers banned, by the reason', value, labels: { why } }
  })
  const numbers = Object.entries({ host: hostCounts, ...parts }).flatMap(([part, of]) =>
    Object.entries(of ?? {}).map(([field, value]): Sample => {
      const name = `${part}_${field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`
      const isNow = OF_NOW.has(name)
      return {
        name: `p2p_${name}${isNow ? '' : '_total'}`,
        kind: isNow ? 'gauge' : 'counter',
        help: 'See docs/metrics.md',
        value: Number(value),
      }
    }),
  )
  return [...bans, ...numbers]
}

function write(registry: Registry, samples: readonly Sample[]): void {
  const fresh = new Set<string>()
  for (const { name, kind, help, value, labels = {} } of samples) {
    const full = `tributary_${name}`
    const metric = registry.getSingleMetric(full) ?? create(registry, { name: full, kind, help, labelNames: Object.keys(labels) })
    if (!fresh.has(full)) metric.reset()
    fresh.add(full)
    if (metric instanceof Counter) metric.inc(labels, value)
    else if (metric instanceof Gauge) metric.set(labels, value)
  }
}

type MetricShape = { readonly name: string; readonly kind: Kind; readonly help: string; readonly labelNames: string[] }

function create(registry: Registry, { kind, ...shape }: MetricShape): Counter | Gauge {
  const config = { ...shape, registers: [registry] }
  return kind === 'counter' ? new Counter(config) : new Gauge(config)
}
