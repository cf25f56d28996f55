/**
 * Quotes of Intel TDX, versions 4 and 5, taken apart; nothing is verified here. Wire, little-endian:
 * header 48 · [version 5: body type u16 · length u32] · report 584 (TDX 1.0) or 648 (1.5) · length u32 · authentication data, in it
 * signature 64 · attestation key 64 · type u16 = 6 · length u32 · (QE report 384 · signature 64 · length u16 · QE data · type u16 = 5 · length u32 ·
 * certificates in PEM). Behind may stand zeros, for quotes come in buffers. Source: Intel, "TDX DCAP: Quote Generation Library and Quote
 * Verification Library", appendix 3. Spec: docs/spec/receipts.md#attestation
 */
import { bytesToHex } from 'viem'
import { attempt, type Cursor, malformed, take } from '../execution/fields.ts'
import { type Certificate, decodeCertificate } from './x509.ts'

/** What a TDX module says of a trust domain (TD). */
export type TdReport = {
  readonly teeTcbSvn: Uint8Array
  readonly mrSignerSeam: Uint8Array
  readonly seamAttributes: Uint8Array
  readonly tdAttributes: Uint8Array
  /** All that tells one TD from another: tdAttributes, xfam, mrTd, mrConfigId, mrOwner, mrOwnerConfig and the four run-time registers. */
  readonly identity: Uint8Array
  readonly reportData: Uint8Array
  /** TDX 1.5 alone: the module's version now, and the service TD bound to this one. */
  readonly next: { readonly teeTcbSvn: Uint8Array; readonly mrServiceTd: Uint8Array } | undefined
}

/** What a quoting enclave (QE) says of itself. */
export type QeReport = {
  readonly miscSelect: Uint8Array
  readonly attributes: Uint8Array
  readonly mrSigner: Uint8Array
  readonly isvProdId: number
  readonly isvSvn: number
  readonly reportData: Uint8Array
}

export type TdxQuote = {
  /** What the attestation key signed. */
  readonly signedBytes: Uint8Array
  readonly signature: Uint8Array
  /** x ‖ y on P-256. */
  readonly attestationKey: Uint8Array
  readonly report: TdReport
  /** What the platform's certified key (PCK) signed, and what it says. */
  readonly qeReportBytes: Uint8Array
  readonly qeReportSignature: Uint8Array
  readonly qeReport: QeReport
  readonly qeData: Uint8Array
  readonly pckCertificate: Certificate
  readonly pckAuthority: Certificate
}

const KEY_TYPE_ECDSA_P256 = 2
const TEE_TYPE_TDX = 0x81
const QE_VENDOR_INTEL = '0x939a7233f79c4ca9940a0db3957f0607'
const BODY_TD10 = { type: 2, bytes: 584 }
const BODY_TD15 = { type: 3, bytes: 648 }
const DATA_QE_REPORT = 6
const DATA_PEM_CHAIN = 5
const QE_REPORT_BYTES = 384

/** Where the members of a report that nobody asks for leave those that somebody does. */
const IDENTITY_FROM = 120
const IDENTITY_TO = 520

/** The quote, or undefined: it is malformed, of another kind or version, or its certificates are not in it. */
export function decodeTdxQuote(bytes: Uint8Array): TdxQuote | undefined {
  return attempt(() => {
    const cursor = { bytes, at: 0, end: bytes.length }
    const version = takeLittle(cursor, 2)
    if (version !== 4 && version !== 5) malformed()
    if (takeLittle(cursor, 2) !== KEY_TYPE_ECDSA_P256 || takeLittle(cursor, 4) !== TEE_TYPE_TDX) malformed()
    take(cursor, 4)
    if (bytesToHex(take(cursor, 16)) !== QE_VENDOR_INTEL) malformed()
    take(cursor, 20)
    const report = takeReport(cursor, version)
    const signedBytes = bytes.subarray(0, cursor.at)
    const data = within(cursor, takeLittle(cursor, 4))
    if (bytes.subarray(cursor.at).some((byte) => byte !== 0)) malformed()
    return { signedBytes, report, ...takeAuthentication(data) }
  })
}

function takeReport(cursor: Cursor, version: number): TdReport {
  const body = version === 4 ? BODY_TD10 : takeBody(cursor)
  const bytes = take(cursor, body.bytes)
  return {
    teeTcbSvn: bytes.subarray(0, 16),
    mrSignerSeam: bytes.subarray(64, 112),
    seamAttributes: bytes.subarray(112, 120),
    tdAttributes: bytes.subarray(120, 128),
    identity: bytes.subarray(IDENTITY_FROM, IDENTITY_TO),
    reportData: bytes.subarray(IDENTITY_TO, 584),
    next: body === BODY_TD15 ? { teeTcbSvn: bytes.subarray(584, 600), mrServiceTd: bytes.subarray(600, 648) } : undefined,
  }
}

function takeBody(cursor: Cursor): typeof BODY_TD10 {
  const [type, length] = [takeLittle(cursor, 2), takeLittle(cursor, 4)]
  const body = [BODY_TD10, BODY_TD15].find((known) => known.type === type && known.bytes === length)
  return body ?? malformed()
}

function takeAuthentication(data: Cursor): Omit<TdxQuote, 'signedBytes' | 'report'> {
  const [signature, attestationKey] = [take(data, 64), take(data, 64)]
  if (takeLittle(data, 2) !== DATA_QE_REPORT) malformed()
  const certified = within(data, takeLittle(data, 4))
  if (data.at !== data.end) malformed()
  const qeReportBytes = take(certified, QE_REPORT_BYTES)
  const qeReportSignature = take(certified, 64)
  const qeData = take(certified, takeLittle(certified, 2))
  if (takeLittle(certified, 2) !== DATA_PEM_CHAIN) malformed()
  const pem = take(certified, takeLittle(certified, 4))
  if (certified.at !== certified.end) malformed()
  const [pckCertificate, pckAuthority] = certificatesOf(pem)
  if (!pckCertificate || !pckAuthority) malformed()
  const qeReport = qeReportOf(qeReportBytes)
  return { signature, attestationKey, qeReportBytes, qeReportSignature, qeReport, qeData, pckCertificate, pckAuthority }
}

function qeReportOf(bytes: Uint8Array): QeReport {
  return {
    miscSelect: bytes.subarray(16, 20),
    attributes: bytes.subarray(48, 64),
    mrSigner: bytes.subarray(128, 160),
    isvProdId: takeLittle({ bytes, at: 256, end: 258 }, 2),
    isvSvn: takeLittle({ bytes, at: 258, end: 260 }, 2),
    reportData: bytes.subarray(320, 384),
  }
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----\r?\n([A-Za-z0-9+/=\r\n]{1,8192})-----END CERTIFICATE-----/g

/** The first two of a chain in PEM. The third is the root, which whoever verifies has already. Source: RFC 7468. */
function certificatesOf(pem: Uint8Array): (Certificate | undefined)[] {
  const text = Array.from(pem, (byte) => String.fromCharCode(byte)).join('')
  const found: (Certificate | undefined)[] = []
  for (const [, base64 = ''] of text.matchAll(PEM_CERTIFICATE)) {
    const der = decodeBase64(base64.replace(/[\r\n]/g, ''))
    found.push(der && decodeCertificate(der))
    if (found.length === 2) break
  }
  return found
}

function decodeBase64(text: string): Uint8Array | undefined {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0))
}

function within(cursor: Cursor, length: number): Cursor {
  const at = cursor.at
  take(cursor, length)
  return { bytes: cursor.bytes, at, end: cursor.at }
}

function takeLittle(cursor: Cursor, length: number): number {
  return take(cursor, length).reduceRight((value, byte) => value * 256 + byte, 0)
}
