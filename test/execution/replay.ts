/**
 * A process of its own that executes blocks: RLP in hex a line on stdin, `block hash, ledger root` a line on stdout. It has the test chain's genesis and a
 * store in its own memory, and knows nothing of the process that built them.
 */
import { createInterface } from 'node:readline'
import { type Hex, hexToBytes } from 'viem'
import { judgeEvidence } from '../../consensus/evidence.ts'
import { applyBlock } from '../../execution/applyBlock.ts'
import { decodeBlock } from '../../execution/block.ts'
import { createGenesisBlock } from '../../execution/genesisBlock.ts'
import { createState } from '../../execution/state.ts'
import { createVm } from '../../execution/vm.ts'
import { PRECOMPILES } from '../../precompiles/precompiles.ts'
import { createMemoryStore } from '../fakes/memoryStore.ts'
import { equalValidators, testGenesis } from '../fakes/testChain.ts'
import { WALK_PARAMS } from './wanderer.ts'

const genesis = { ...testGenesis(WALK_PARAMS), validators: equalValidators(4) }
const first = createGenesisBlock(genesis)
const store = createMemoryStore()
store.write(first.writes)
const hashes = new Map<bigint, Hex>([[0n, first.hash]])
const state = createState(store.reader, first.roots)
const vm = await createVm({ state, params: genesis.params, precompiles: PRECOMPILES, blockHash: (number) => hashes.get(number) })

let head = first.block.header
for await (const line of createInterface({ input: process.stdin })) {
  const block = decodeBlock(hexToBytes(line.trim() as Hex))
  if (!block) throw new Error('malformed block')
  const applied = await applyBlock({ state, vm, params: genesis.params, judgeEvidence }, head, block)
  if (!applied.ok) throw new Error(`block ${block.header.number} is refused: ${applied.code}`)
  store.write(applied.writes)
  head = block.header
  hashes.set(head.number, applied.hash)
  process.stdout.write(`${applied.hash} ${applied.roots.ledgerRoot} ${applied.receipts.length}\n`)
}
