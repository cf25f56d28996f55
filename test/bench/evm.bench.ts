/**
 * evm: blocks of ERC-20 transfers, and of plain ones, through our block path (decode, signatures, execution, receipts, roots, one synced batch to a
 * level store) against @ethereumjs/vm's `runBlock` with its defaults (stock state manager, stock cryptography, a level store) on the same blocks. Both
 * must come to the same roots. Documented in docs/benchmarks.md.
 *
 *     npm run bench -- evm [--json] -- [--accounts 20000] [--ops 1000] [--rounds 5]
 */
import { encodeDeployData, encodeFunctionData, getContractAddress, type Hex, hexToBytes } from 'viem'
import { openTokenBytecode } from '../../contracts/artifacts.ts'
import { FEE_VAULT, OPEN_WEI } from '../../genesis/params.ts'
import { openTokenAbi } from '../../settlement/abi.ts'
import { type BenchChain, type BlockCost, createBenchChain } from './chain.ts'
import { type Cost, costOf, digits, progress, readOptions, report, show, spreadOf, textTable, times } from './measure.ts'
import { type Signer, signCall, signer, signers } from './operations.ts'
import { createStockVm, type StockVm } from './stockVm.ts'

const options = readOptions({ accounts: 20_000, ops: 1_000, rounds: 5, peer: 'defaults,cached' })
const KINDS = ['erc20', 'transfers'] as const
type Kind = (typeof KINDS)[number]
const PEERS = (['defaults', 'cached'] as const).filter((setup) => options.peer.split(',').includes(setup))
type Setup = (typeof PEERS)[number]

type World = { readonly chain: BenchChain; readonly accounts: readonly Signer[]; readonly token: Hex }
type Samples = Record<Kind, { readonly own: BlockCost[]; readonly peers: Record<Setup, Cost[]> }>

await main()

async function main(): Promise<void> {
  progress(`keys of ${options.accounts} accounts`)
  const world = await createWorld()
  const peers = await openPeers(world.chain)
  const samples: Samples = {
    erc20: { own: [], peers: { defaults: [], cached: [] } },
    transfers: { own: [], peers: { defaults: [], cached: [] } },
  }
  let made = 0
  // The first round is for the compiler.
  for (let round = 0; round <= options.rounds; round++) {
    for (const kind of KINDS) {
      const raws = Array.from({ length: options.ops }, (_, i) => operationOf(world, kind, made + i))
      made += options.ops
      const built = await world.chain.build(raws)
      const own = await world.chain.apply(built)
      if (round > 0) samples[kind].own.push(own)
      const { header } = built.block
      for (const [setup, peer] of peers) {
        const { value, cost } = await costOf(() => peer.run(raws, header))
        if (round > 0) samples[kind].peers[setup].push(cost)
        // The one difference: base fees are burned there and go to the vault here.
        const stateRoot = await peer.credit(FEE_VAULT, header.gasUsed * header.baseFeePerGas)
        if (value.gasUsed !== header.gasUsed || value.receiptsRoot !== header.receiptsRoot || stateRoot !== header.stateRoot)
          throw new Error(`the ${setup} peer came to other roots than we did in a block of ${kind}`)
      }
    }
    progress(`round ${round} of ${options.rounds}`)
  }
  for (const [, peer] of peers) await peer.close()
  await world.chain.close()
  print(samples)
}

/** Accounts that have money and tokens, so that a transfer changes slots that are there. */
async function createWorld(): Promise<World> {
  const accounts = signers('account', options.accounts)
  const owner = signer('owner', 0)
  const wei = { evmWei: 1_000_000n * OPEN_WEI, ledgerWei: OPEN_WEI }
  const chain = await createBenchChain([...accounts, owner].map(({ address }) => ({ address, ...wei })))
  const token = getContractAddress({ from: owner.address, nonce: 0n }).toLowerCase() as Hex
  const data = encodeDeployData({ abi: openTokenAbi, bytecode: openTokenBytecode, args: [owner.address] })
  const sign = (call: Parameters<typeof signCall>[2]) =>
    signCall({ sender: owner, nonce: chain.takeNonce('ethereum', owner) }, chain.chainId, call)
  await chain.apply(await chain.build([sign({ data, gas: 5_000_000n })]))
  progress('giving out tokens')
  for (let from = 0; from < accounts.length; from += 2_000) {
    const part = accounts.slice(from, from + 2_000)
    const raws = part.map(({ address }) => sign({ to: token, data: transferData(address, 1_000n * OPEN_WEI), gas: 100_000n }))
    await chain.apply(await chain.build(raws))
  }
  return { chain, accounts, token }
}

async function openPeers(chain: BenchChain): Promise<Map<Setup, StockVm>> {
  const built = await chain.build([])
  await chain.apply(built)
  const root = hexToBytes(built.block.header.stateRoot)
  const peers = new Map<Setup, StockVm>()
  for (const setup of PEERS) {
    peers.set(
      setup,
      await createStockVm({ chainId: chain.chainId, root, readNode: chain.readTrieNode, readCode: chain.readCode, crypto: 'stock', setup }),
    )
  }
  return peers
}

function operationOf({ chain, accounts, token }: World, kind: Kind, number: number): Uint8Array {
  // Strides coprime to the number of accounts spread senders and receivers over all of them.
  const sender = accounts[(number * 7_919) % accounts.length]
  const to = accounts[(number * 104_729 + 1) % accounts.length]?.address
  if (!sender || !to) throw new Error('there are no accounts')
  const turn = { sender, nonce: chain.takeNonce('ethereum', sender) }
  if (kind === 'transfers') return signCall(turn, chain.chainId, { to, valueWei: 1_000_000_000n, gas: 21_000n })
  return signCall(turn, chain.chainId, { to: token, data: transferData(to, 1_000_000_000n), gas: 100_000n })
}

function transferData(to: Hex, amount: bigint): Hex {
  return encodeFunctionData({ abi: openTokenAbi, functionName: 'transfer', args: [to, amount] })
}

function print(samples: Samples): void {
  const clocks = { wall: 'wallMs', mainThread: 'mainMs', allThreads: 'processMs' } as const
  const found = KINDS.map((kind) => {
    const { own, peers } = samples[kind]
    const us = (costs: readonly Cost[], clock: keyof Cost) => spreadOf(costs.map((cost) => (cost[clock] * 1_000) / options.ops))
    const sum = own.map(({ execute, write }) => addCosts(execute, write))
    const rows = Object.entries(clocks).map(([name, clock]) => {
      const ownUs = us(sum, clock)
      const peerUs = Object.fromEntries(PEERS.map((setup) => [setup, us(peers[setup], clock)]))
      const ratios = Object.fromEntries(PEERS.map((setup) => [setup, us(peers[setup], clock).median / ownUs.median]))
      return { clock: name, ownUs, peerUs, ratios }
    })
    return { kind, opsPerSec: 1e6 / us(sum, 'wallMs').median, rows }
  })
  const ratioOf = (kind: Kind) => found.find((one) => one.kind === kind)?.rows[0]?.ratios[PEERS[0] ?? '']
  const table = found.flatMap(({ kind, rows }) =>
    rows.map(({ clock, ownUs, peerUs, ratios }) => [
      kind,
      clock,
      show(ownUs),
      ...PEERS.flatMap((setup) => [peerUs[setup] ? show(peerUs[setup]) : '–', times(ratios[setup] ?? Number.NaN)]),
    ]),
  )
  const head = ['operation', 'clock', 'ours, µs an op', ...PEERS.flatMap((setup) => [`runBlock ${setup}, µs an op`, 'ours of its speed'])]
  const rates = found.map(({ kind, opsPerSec }) => `${kind}: ${digits(opsPerSec)} a second`).join(', ')
  report({
    bench: 'evm',
    json: options.json,
    text: `${textTable(head, table)}\n\n${rates}; roots, receipts and gas equal in every block.`,
    figures: {
      erc20: ratioOf('erc20'),
      transfers: ratioOf('transfers'),
      ops: options.ops,
      rounds: options.rounds,
      accounts: options.accounts,
      runs: found,
    },
  })
}

function addCosts(a: Cost, b: Cost): Cost {
  return {
    wallMs: a.wallMs + b.wallMs,
    mainMs: a.mainMs + b.mainMs,
    processMs: a.processMs + b.processMs,
    garbageMs: a.garbageMs + b.garbageMs,
  }
}
