/** Numbers for Prometheus: every one under a name of its own, counters that count, and nothing else at the port. */
import { readFileSync } from 'node:fs'
import { expect, onTestFinished, test } from 'vitest'
import { type MetricsSource, serveChallengerMetrics, serveMetrics } from '../../node/metrics.ts'
import type { ChildMetrics } from '../../node/p2pChild.ts'

const NETWORK = {
  host: { peers: 3, connections: 4, disconnects: 5, refusals: 0, bans: 2, bansBy: { 'its gossip floods': 2 } },
  gossip: { bytesIn: 1_000, queuedTxs: 7 },
  sync: { asked: 1, servers: 2 },
  direct: undefined,
  process: { restarts: 1, isUp: true, delayMaxMs: 12, rssBytes: 90_000_000 },
} as unknown as ChildMetrics

async function openMetrics(source: Partial<MetricsSource> = {}): Promise<string> {
  const server = await serveMetrics(
    {
      heads: () => ({ latest: 9n, safe: 5n, finalized: 2n }),
      headTimestampMs: () => 1_800_000_000_250,
      pooled: () => 11,
      settled: () => ({ batches: 3, postedBytes: 4_096, checkpoints: 1 }),
      signatures: () => ({ signed: 4, certified: 3, heard: 9, bad: 0, told: 0, missing: 1 }),
      challenger: () => ({ open: 3, wrong: 1, fell: 2, matured: 0, misjudged: 0, sent: 4, refused: 5, lookedAtMs: 1_800_000_000_500 }),
      loopDelays: () => ({ main: { meanMs: 1, p99Ms: 20, maxMs: 250 } }),
      rpcCalls: () => [
        { method: 'eth_call', outcome: 'ok', calls: 5, ms: 500, slow: 1 },
        { method: 'eth_call', outcome: '3', calls: 2, ms: 250, slow: 0 },
      ],
      network: () => NETWORK,
      ...source,
    },
    { host: '127.0.0.1', port: 0 },
  )
  onTestFinished(server.close)
  return server.url
}

const linesOf = async (url: string) => (await (await fetch(url)).text()).split('\n')

test('what the node knows of itself is there, with its kind', async () => {
  const lines = await linesOf(await openMetrics())
  for (const line of [
    'tributary_head_block{head="latest"} 9',
    'tributary_head_block{head="finalized"} 2',
    'tributary_head_timestamp_seconds 1800000000.25',
    'tributary_pool_transactions 11',
    'tributary_l1_posted_bytes_total 4096',
    'tributary_checkpoint_signatures_total{what="heard"} 9',
    'tributary_checkpoint_signatures_missing 1',
    'tributary_challenger_checkpoints{what="wrong"} 1',
    'tributary_challenger_checkpoints_total{what="fell"} 2',
    'tributary_challenger_proofs_total{what="refused"} 5',
    'tributary_challenger_looked_timestamp_seconds 1800000000.5',
    'tributary_loop_delay_seconds{thread="main",figure="max"} 0.25',
    'tributary_p2p_bans_total{why="its gossip floods"} 2',
    'tributary_rpc_calls_total{method="eth_call",outcome="3"} 2',
    'tributary_rpc_seconds_total{method="eth_call"} 0.75',
    'tributary_rpc_slow_calls_total{method="eth_call"} 1',
    'tributary_p2p_host_peers 3',
    'tributary_p2p_gossip_bytes_in_total 1000',
    'tributary_p2p_process_is_up 1',
    '# TYPE tributary_p2p_gossip_bytes_in_total counter',
    '# TYPE tributary_p2p_gossip_queued_txs gauge',
  ])
    expect(lines).toContain(line)
  expect(lines.some((line) => line.startsWith('process_cpu_seconds_total'))).toBe(true)
})

test('looked at again, a counter is what it is now, and what is gone is gone', async () => {
  let network: ChildMetrics | undefined = NETWORK
  const url = await openMetrics({ network: () => network })
  await linesOf(url)
  expect(await linesOf(url)).toContain('tributary_p2p_gossip_bytes_in_total 1000')
  network = { ...NETWORK, host: { ...NETWORK.host, bansBy: { 'another reason': 1 } } }
  const lines = await linesOf(url)
  expect(lines).toContain('tributary_p2p_bans_total{why="another reason"} 1')
  expect(lines.join()).not.toContain('its gossip floods')
  network = undefined
  expect(await linesOf(url)).toContain('tributary_head_block{head="safe"} 5')
})

test('a challenger by itself serves its own, and one that never looked has no time of it', async () => {
  const status = { open: 2, wrong: 0, fell: 0, matured: 1, misjudged: 0, sent: 0, refused: 0, lookedAtMs: undefined }
  const server = await serveChallengerMetrics(() => status, { host: '127.0.0.1', port: 0 })
  onTestFinished(server.close)
  const lines = (await linesOf(server.url)).filter((line) => line.startsWith('tributary_'))
  expect(lines).toEqual([
    'tributary_challenger_checkpoints{what="open"} 2',
    'tributary_challenger_checkpoints{what="wrong"} 0',
    'tributary_challenger_checkpoints_total{what="fell"} 0',
    'tributary_challenger_checkpoints_total{what="matured"} 1',
    'tributary_challenger_checkpoints_total{what="misjudged"} 0',
    'tributary_challenger_proofs_total{what="sent"} 0',
    'tributary_challenger_proofs_total{what="refused"} 0',
  ])
})

test('nothing else is answered', async () => {
  const url = await openMetrics()
  expect((await fetch(url.replace('/metrics', '/'))).status).toBe(404)
  expect((await fetch(url, { method: 'POST', body: 'x' })).status).toBe(404)
})

test('the dashboard asks for nothing that is not there', async () => {
  const dashboard = readFileSync(new URL('../../docs/grafana.json', import.meta.url), 'utf8')
  const asked = new Set(dashboard.match(/\b(tributary|process)_[a-z0-9_]+\b/g))
  const there = (await linesOf(await openMetrics())).map((line) => line.split(/[{ ]/)[0])
  expect(asked.size).toBeGreaterThan(15)
  for (const name of asked) expect(there).toContain(name)
})
