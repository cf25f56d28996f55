/** `state`: one transaction through our codec, applyTx and our state, and the root of our trie after it. */
import { bytesToHex, type Hex, hexToBytes, pad } from 'viem'
import { judgeEvidence } from '../../consensus/evidence.ts'
import { applyTx } from '../../execution/applyTx.ts'
import type { EthereumRules } from '../../execution/ethereumRules.ts'
import { keccak256 } from '../../execution/keccak.ts'
import type { Log } from '../../execution/native/nativeType.ts'
import { encodeRlp } from '../../execution/rlp.ts'
import { decodeEthereumTx } from '../../execution/tx.ts'
import type { BlockEnv } from '../../execution/vm.ts'
import { type Answer, bytesOf, numberOf, type PreAccount, type StateCase } from './cases.ts'
import { type Ethereum, ethereumOf } from './ethereum.ts'
import { hardforkOf } from './forks.ts'
import { signJsonTx } from './jsonTx.ts'

/** The state root and the hash of the logs after the transaction; the root of `pre` and why where it is rejected. */
export async function answerState(input: StateCase): Promise<Answer> {
  const hardfork = hardforkOf(input.fork)
  if (hardfork === undefined) return { unsupported: `state tests of ${input.fork}` }
  const ethereum = await ethereumOf(rulesOf(input, hardfork))
  for (const [address, account] of Object.entries(input.pre)) putAccount(ethereum, address.toLowerCase() as Hex, account)
  const preRoot = ethereum.seal()
  const signed = input.txbytes === undefined ? signJsonTx(input.tx, ethereum.common) : { ok: true as const, bytes: bytesOf(input.txbytes) }
  if (!signed.ok) return { rejected: signed.reason, stateRoot: preRoot }
  const decoded = decodeEthereumTx(signed.bytes, ethereum.common)
  if (!decoded.ok) return { rejected: decoded.code, stateRoot: preRoot }
  const { state, vm, params } = ethereum
  const outcome = await applyTx({ state, vm, params, judgeEvidence, env: envOf(input.env), gasUsedBefore: 0n }, decoded.tx)
  const stateRoot = ethereum.seal()
  return outcome.ok ? { stateRoot, logsHash: logsHash(outcome.logs) } : { rejected: outcome.code, stateRoot }
}

function rulesOf({ config, fork }: StateCase, hardfork: string): EthereumRules {
  const blobs = config?.blobSchedule?.[fork]
  const gasPerBlob = 131_072n
  const params = blobs && {
    // What a fork's schedule sets stands in the library under these two EIPs, the later one first.
    [hardfork === 'cancun' ? 4844 : 7691]: {
      targetBlobGasPerBlock: Number(numberOf(blobs.target) * gasPerBlob),
      maxBlobGasPerBlock: Number(numberOf(blobs.max) * gasPerBlob),
      blobGasPriceUpdateFraction: Number(numberOf(blobs.baseFeeUpdateFraction)),
    },
  }
  return { chainId: Number(numberOf(config?.chainid ?? '0x1')), hardfork, ...(params ? { params } : {}) }
}

function putAccount({ state }: Ethereum, address: Hex, { nonce, balance, code, storage }: PreAccount): void {
  const account = state.account(address)
  account.nonce = numberOf(nonce)
  account.balance = numberOf(balance)
  state.putAccount(address, account)
  const bytes = bytesOf(code)
  if (bytes.length > 0) state.putCode(address, bytes)
  for (const [slot, value] of Object.entries(storage)) {
    const number = numberOf(value)
    if (number !== 0n) state.putSlot(address, word(numberOf(slot)), hexToBytes(word(number)))
  }
}

function envOf(env: StateCase['env']): BlockEnv {
  return {
    number: numberOf(env.currentNumber),
    timestamp: numberOf(env.currentTimestamp),
    miner: (env.currentCoinbase ?? `0x${'00'.repeat(20)}`).toLowerCase() as Hex,
    gasLimit: numberOf(env.currentGasLimit),
    baseFeePerGas: numberOf(env.currentBaseFee),
    mixHash: word(numberOf(env.currentRandom)),
    parentBeaconBlockRoot: word(numberOf(env.currentBeaconRoot)),
    excessBlobGas: numberOf(env.currentExcessBlobGas),
  }
}

function logsHash(logs: readonly Log[]): Hex {
  const items = logs.map(({ address, topics, data }) => [hexToBytes(address), topics.map((topic) => hexToBytes(topic)), hexToBytes(data)])
  return bytesToHex(keccak256(encodeRlp(items)))
}

function word(value: bigint): Hex {
  return pad(`0x${value.toString(16)}`, { size: 32 })
}
