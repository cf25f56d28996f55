/** Our state and VM as plain Ethereum of a fork: our precompiles off, base fees burned, an empty ledger, state in memory that is emptied for each case. */
import { bytesToHex, type Hex, stringToBytes } from 'viem'
import { createCommon, type EthereumRules } from '../../execution/ethereumRules.ts'
import { keccak256 } from '../../execution/keccak.ts'
import { EMPTY_ROOT } from '../../execution/mpt.ts'
import type { StateRoots } from '../../execution/state.ts'
import { createState } from '../../execution/state.ts'
import { type BlockEnv, createVm } from '../../execution/vm.ts'
import { DEVNET_PARAMS } from '../../genesis/devnet.ts'
import { createMemoryStore } from '../fakes/memoryStore.ts'

const EMPTY_ROOTS: StateRoots = { evmRoot: bytesToHex(EMPTY_ROOT), ledgerRoot: `0x${'00'.repeat(32)}` }

/** A fork, less an EIP that came before it: a few prices are those of a fork that knows no blocks like ours. */
export type Rules = EthereumRules & { readonly without?: number }

/** What a case runs on. */
export type Ethereum = Awaited<ReturnType<typeof createEthereum>>

const known = new Map<string, Promise<Ethereum>>()

/** The machine of these rules, with nothing in its state. One a set of rules, used again: it costs more than most cases do. */
export async function ethereumOf(rules: Rules): Promise<Ethereum> {
  const key = JSON.stringify(rules)
  const machine = await (known.get(key) ?? known.set(key, createEthereum(rules)).get(key))
  if (!machine) throw new Error('unreachable')
  machine.empty()
  return machine
}

async function createEthereum({ without, ...rules }: Rules) {
  const common = createCommon(rules)
  const isActivatedEIP = common.isActivatedEIP.bind(common)
  if (without !== undefined) common.isActivatedEIP = (eip) => eip !== without && isActivatedEIP(eip)
  let store = createMemoryStore()
  const state = createState(
    {
      account: (address) => store.reader.account(address),
      slot: (address, hashedSlot) => store.reader.slot(address, hashedSlot),
      code: (hash) => store.reader.code(hash),
      trieNode: (hash) => store.reader.trieNode(hash),
      ledgerRecord: () => undefined,
      ledgerEntry: () => undefined,
    },
    EMPTY_ROOTS,
  )
  const params = { ...DEVNET_PARAMS, chainId: rules.chainId }
  const vm = await createVm({ state, params, precompiles: [], blockHash, ethereum: common })
  return {
    common,
    params,
    state,
    vm,
    empty() {
      store = createMemoryStore()
      state.reset(EMPTY_ROOTS)
    },
    /** Commits what was done: the state root. */
    seal(): Hex {
      const { roots, writes } = state.seal()
      store.write(writes)
      return roots.evmRoot
    },
  }
}

/** The hashes that state tests give to earlier blocks: keccak256 of the number in decimal digits. Source: go-ethereum, tests/state_test_util.go. */
function blockHash(number: bigint): Hex {
  return bytesToHex(keccak256(stringToBytes(number.toString())))
}

/** A block where nothing costs anything, for calls outside of a transaction. */
export const QUIET_BLOCK: BlockEnv = {
  number: 1n,
  timestamp: 1_000n,
  miner: `0x${'00'.repeat(20)}`,
  gasLimit: 2n ** 53n,
  baseFeePerGas: 7n,
  mixHash: `0x${'00'.repeat(32)}`,
  parentBeaconBlockRoot: `0x${'00'.repeat(32)}`,
}
