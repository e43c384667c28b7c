# What browsers get is built in a stage of its own; the server has nothing to build, Node runs the sources as they are.
FROM node:24-bookworm-slim AS build

WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY src/package.json ./src/
RUN npm ci

COPY build.ts ./
COPY src ./src
RUN node build.ts

FROM node:24-bookworm-slim

ENV NODE_ENV=production \
    HOST=0.0.0.0 \
    PORT=8080 \
    DATA_DIR=/data

WORKDIR /app

# Dependencies first, so that a change of the sources keeps this layer. Optional ones are Node itself, which is here.
COPY package.json package-lock.json .npmrc ./
COPY src/package.json ./src/
RUN npm ci --omit=dev --omit=optional && npm cache clean --force

COPY tsconfig.json openapi.yaml ./
COPY db ./db
COPY src ./src
COPY --from=build /app/dist ./dist

# A named volume takes over the owner of this folder.
RUN mkdir /data && chown node:node /data && chmod 700 /data
USER node
VOLUME /data

# HTTP and Socket.IO; MQTT when MQTT_PORT is set.
EXPOSE 8080 1883

HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/healthz`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]

CMD ["node", "src/main.ts", "serve"]
